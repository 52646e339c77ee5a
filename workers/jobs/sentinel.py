"""A Redis that Sentinels watch: its URL, and connections that ask them where the primary is."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
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

Address = tuple[str, int]
"""Host and port."""

TLS = "ssl_"
"""What the names of options about TLS begin with: they hold for Sentinels, too."""


@dataclass(frozen=True)
class SentinelUrl:
    """What redis+sentinel://[user:password@]host[:26379],host.../primary[/database][?options] says.

    rediss+sentinel:// is the same by TLS, to Sentinels as well. Options are those of redis://, and
    sentinel_username and sentinel_password where Sentinels want one.
    """

    sentinels: tuple[Address, ...]
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
    """Raises: ValueError, whose words may tell a part of the URL, and of the password in it."""
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


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL has a host between commas")
    return parts.hostname, parts.port or PORT


def connection_options(url: str, timeout_s: float) -> dict[str, Any]:
    """For a pool of redis.asyncio, whose connections ask first. timeout_s: of all Sentinels."""
    told = read_sentinel_url(url)
    kind = _TLSConnection if told.tls else _Connection
    return {**told.options, "connection_class": kind, "asked": _Sentinels(told, timeout_s)}


def blocking_connection_options(url: str, timeout_s: float) -> dict[str, Any]:
    """The same for a pool of redis."""
    told = read_sentinel_url(url)
    kind = _BlockingTLSConnection if told.tls else _BlockingConnection
    return {**told.options, "connection_class": kind, "asked": _Sentinels(told, timeout_s)}


class _Sentinels:
    """Each is asked once, by a connection of its own: that is rare, and nothing is left open.

    They share the time. Who answered is asked first the next time.
    """

    def __init__(self, url: SentinelUrl, timeout_s: float) -> None:
        self._question = ("SENTINEL GET-MASTER-ADDR-BY-NAME", url.primary)
        self._sentinels = url.sentinels
        each_s = timeout_s / len(url.sentinels)
        self._options = {
            **url.sentinel_options,
            "ssl": url.tls,
            "socket_connect_timeout": each_s,
            "socket_timeout": each_s,
            "protocol": 2,
        }

    async def primary(self) -> Address:
        """Host and port, of the first Sentinel that knows. Raises: redis.TimeoutError."""
        once, problems = AsyncRetry(NoBackoff(), 0), list[str]()
        for host, port in self._sentinels:
            with _noted(problems, host, port):
                async with redis.asyncio.Redis(
                    host=host, port=port, retry=once, **self._options
                ) as asked:
                    return self._told((host, port), await asked.execute_command(*self._question))
        raise self._unknown(problems)

    def primary_blocking(self) -> Address:
        """The same for a thread without an event loop."""
        once, problems = Retry(NoBackoff(), 0), list[str]()
        for host, port in self._sentinels:
            with (
                _noted(problems, host, port),
                redis.Redis(host=host, port=port, retry=once, **self._options) as asked,
            ):
                return self._told((host, port), asked.execute_command(*self._question))
        raise self._unknown(problems)

    def _told(self, sentinel: Address, answer: Any) -> Address:
        if answer is None:
            raise redis.RedisError("watches none of that name")
        self._sentinels = tuple(sorted(self._sentinels, key=lambda each: each != sentinel))
        host, port = answer
        return host.decode() if isinstance(host, bytes) else str(host), int(port)

    def _unknown(self, problems: list[str]) -> redis.TimeoutError:
        """Of a kind that is not tried again: that would take as long once more."""
        _, primary = self._question
        told = "; ".join(problems)
        return redis.TimeoutError(f"no Sentinel knows the primary {primary!r}: {told}")


@contextmanager
def _noted(problems: list[str], host: str, port: int) -> Generator[None]:
    """Whatever is wrong with a Sentinel: another may know."""
    try:
        yield
    except redis.RedisError as error:
        problems.append(f"{host}:{port}: {error}")


def _is_from_replica(error: redis.exceptions.ResponseError) -> bool:
    """Whether a replica refuses a write. Before 7.0 a script's error stands in its text."""
    return isinstance(error, redis.exceptions.ReadOnlyError) or "-READONLY" in str(error)


NO_PRIMARY = "the primary is a replica now"


class _Connection(redis.asyncio.Connection):
    """To the primary. redis-py's own asks when a pool makes it, but not when it reconnects."""

    def __init__(self, *, asked: _Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._asked = asked

    async def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        if not self.is_connected:  # not in _connect, whose errors are all tried again
            self.host, self.port = await self._asked.primary()
        await super().connect_check_health(*arguments, **options)

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except redis.exceptions.ResponseError as error:
            if not _is_from_replica(error):
                raise
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
        except redis.exceptions.ResponseError as error:
            if not _is_from_replica(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError(NO_PRIMARY) from error


class _BlockingTLSConnection(_BlockingConnection, redis.SSLConnection):
    pass
