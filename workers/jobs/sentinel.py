"""A Redis that Sentinels watch: its URL, and connections that ask them where the primary is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

SCHEMES = ("redis+sentinel", "rediss+sentinel")
PORT = 26_379

TLS = "ssl_"
"""What the names of options about TLS begin with: they hold for Sentinels, too."""


@dataclass(frozen=True)
class SentinelUrl:
    """What redis+sentinel://[user:password@]host[:26379],host.../primary[/database][?options] says.

    rediss+sentinel:// is the same by TLS, to Sentinels as well. Options are those of redis://, and
    sentinel_username and sentinel_password where Sentinels want one.
    """

    sentinels: tuple[tuple[str, int], ...]
    primary: str
    """Its name, as in `sentinel monitor mymaster ...`."""
    tls: bool
    options: Mapping[str, Any]
    """Of a connection to the primary."""
    sentinel_options: Mapping[str, Any]
    """Of a connection to a Sentinel."""


def is_sentinel_url(url: str) -> bool:
    """Whether `read_sentinel_url` is to read it."""
    return url.partition("://")[0] in SCHEMES


def read_sentinel_url(url: str) -> SentinelUrl:
    """Raises: ValueError, whose words do not tell the URL."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    primary, _, database = parts.path.removeprefix("/").partition("/")
    if not hosts or not primary or not (database or "0").isdecimal():
        raise ValueError("a Sentinel URL has hosts, then /name of the primary, then /database")
    scheme = parts.scheme.removesuffix("+sentinel")
    plain = SplitResult(scheme, f"{user}{at}primary", f"/{database or 0}", parts.query, "")
    options: dict[str, Any] = dict(parse_url(plain.geturl()))
    for name in ("host", "connection_class"):
        options.pop(name, None)
    sentinel_options = {name: value for name, value in options.items() if name.startswith(TLS)}
    for name in ("username", "password"):
        sentinel_options[name] = options.pop(f"sentinel_{name}", None)
    return SentinelUrl(
        sentinels=tuple(_address(host) for host in hosts.split(",")),
        primary=unquote(primary),
        tls=scheme == "rediss",
        options=options,
        sentinel_options=sentinel_options,
    )


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL has a host between commas")
    return parts.hostname, parts.port or PORT


def connection_options(url: str, timeout_s: float) -> dict[str, Any]:
    """For a pool of redis.asyncio, whose connections ask first. timeout_s: of each Sentinel."""
    told = read_sentinel_url(url)
    kind = _TLSConnection if told.tls else _Connection
    return {**told.options, "connection_class": kind, "asked": _Sentinels(told, timeout_s)}


def blocking_connection_options(url: str, timeout_s: float) -> dict[str, Any]:
    """The same for a pool of redis."""
    told = read_sentinel_url(url)
    kind = _BlockingTLSConnection if told.tls else _BlockingConnection
    return {**told.options, "connection_class": kind, "asked": _Sentinels(told, timeout_s)}


class _Sentinels:
    """Each is asked once, by a connection of its own: that is rare, and nothing is left open."""

    def __init__(self, url: SentinelUrl, timeout_s: float) -> None:
        self._url = url
        self._options = {
            **url.sentinel_options,
            "ssl": url.tls,
            "socket_connect_timeout": timeout_s,
            "socket_timeout": timeout_s,
            "protocol": 2,
        }

    async def primary(self) -> tuple[str, int]:
        """Host and port, of the first Sentinel that knows. Raises: redis.ConnectionError."""
        problems: list[str] = []
        for host, port in self._url.sentinels:
            try:
                async with redis.asyncio.Redis(
                    host=host, port=port, retry=AsyncRetry(NoBackoff(), 0), **self._options
                ) as sentinel:
                    return self._address(await sentinel.execute_command(*self._question))
            except redis.RedisError as error:
                problems.append(f"{host}:{port}: {error}")
        raise self._unknown(problems)

    def primary_blocking(self) -> tuple[str, int]:
        """The same for a thread without an event loop."""
        problems: list[str] = []
        for host, port in self._url.sentinels:
            try:
                with redis.Redis(
                    host=host, port=port, retry=Retry(NoBackoff(), 0), **self._options
                ) as sentinel:
                    return self._address(sentinel.execute_command(*self._question))
            except redis.RedisError as error:
                problems.append(f"{host}:{port}: {error}")
        raise self._unknown(problems)

    @property
    def _question(self) -> tuple[str, str]:
        return "SENTINEL GET-MASTER-ADDR-BY-NAME", self._url.primary

    def _address(self, answer: Any) -> tuple[str, int]:
        if answer is None:
            raise redis.RedisError("watches none of that name")
        host, port = answer
        return host.decode() if isinstance(host, bytes) else str(host), int(port)

    def _unknown(self, problems: list[str]) -> redis.ConnectionError:
        told = "; ".join(problems)
        return redis.ConnectionError(f"no Sentinel knows the primary {self._url.primary!r}: {told}")


NO_PRIMARY = "the primary is a replica now"


class _Connection(redis.asyncio.Connection):
    """To the primary. redis-py's own asks when a pool makes it, but not when it reconnects."""

    def __init__(self, *, asked: _Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._asked = asked

    async def _connect(self) -> None:
        self.host, self.port = await self._asked.primary()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except redis.exceptions.ReadOnlyError as error:
            await self.disconnect()
            raise redis.ConnectionError(NO_PRIMARY) from error


class _TLSConnection(_Connection, redis.asyncio.SSLConnection):
    pass


class _BlockingConnection(redis.Connection):
    def __init__(self, *, asked: _Sentinels, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._asked = asked

    def _connect(self) -> Any:
        self.host, self.port = self._asked.primary_blocking()
        return super()._connect()  # type: ignore[no-untyped-call]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)
        except redis.exceptions.ReadOnlyError as error:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError(NO_PRIMARY) from error


class _BlockingTLSConnection(_BlockingConnection, redis.SSLConnection):
    pass
