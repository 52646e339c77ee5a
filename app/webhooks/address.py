"""Where a webhook may go: what its URL may say, and which addresses its host may have."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from workers.jobs.errors import ImagenError

MAX_URL_CHARS = 2_000

HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

HOSTS_OF_IPV6 = ip_network("2000::/3")
"""Outside of it are local, mapped, translated (NAT64) and multicast addresses, and no hosts."""

SPECIAL_NETWORKS = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by the customers of a provider
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",  # multicast, reserved and broadcast
            "2001::/23",  # Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    )
)
"""IANA's special-purpose registries. Not `is_global`: it differs between versions of Python."""

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to the host's addresses, best first. Raises OSError where it has none."""


class AddressRefused(ImagenError):
    """A webhook's host has an address that is not of the public internet."""


def check_url(url: str, *, allow_private: bool) -> str | None:
    """What is wrong with a webhook's URL, as the end of a sentence; None where nothing is.

    allow_private: addresses need not be public, nor connections encrypted.
    """
    if len(url) > MAX_URL_CHARS:
        return f"is longer than {MAX_URL_CHARS} characters"
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return "is not a URL"
    return next(_problems(parsed, allow_private), None)


def remedy(*, allow_private: bool) -> str:
    """What `check_url` accepts."""
    what = "an http or https URL" if allow_private else "an https URL of a public host"
    return f"use {what} without user name and fragment, of up to {MAX_URL_CHARS} characters"


def look_up_in(threads: Executor | None) -> LookUp:
    """Asks the system, which knows names, addresses and the odd spellings of addresses.

    threads: None for those of the event loop.
    """

    async def look_up(host: str, port: int) -> Sequence[str]:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(threads, ask)
        return [str(address[0]) for *_, address in found]

    return look_up


async def resolve(url: httpx.URL, *, allow_private: bool, look_up: LookUp) -> Sequence[str]:
    """The addresses of a URL's host, best first. To connect, use one of them, not the name.

    A second look at the name could be answered otherwise, by who would have us reach something
    of our own network.
    Raises: AddressRefused; OSError where the host has no address.
    """
    addresses = await look_up(ascii_host(url), port_of(url))
    if not allow_private:
        for address in addresses:
            if not is_public(ip_address(address)):
                raise AddressRefused(f"its host has the private address {address}")
    return addresses


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is of a host that the whole internet can reach."""
    if address.version == 6 and address not in HOSTS_OF_IPV6:
        return False
    return not any(address in network for network in SPECIAL_NETWORKS)


def ascii_host(url: httpx.URL) -> str:
    """The host as DNS, TLS and the Host header write it; an IPv6 address has no brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    """The port that is told, or the scheme's own."""
    return url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]


def _problems(url: httpx.URL, allow_private: bool) -> Iterator[str]:
    host = ascii_host(url)
    literal = _literal(host)
    if url.scheme not in ("http", "https"):
        yield "is not an http or https URL"
    elif url.scheme == "http" and not allow_private:
        yield "does not use https"
    if url.userinfo:
        yield "has a user name in it"
    if url.fragment:
        yield "has a fragment"
    if literal is None and not HOST_NAME.fullmatch(host):
        yield "has no valid host"
    elif not allow_private and _is_private(host, literal):
        yield "is of a private address"
    if url.port is not None and not 0 < url.port < 2**16:
        yield "has no valid port"


def _is_private(host: str, literal: IPv4Address | IPv6Address | None) -> bool:
    if literal is not None:
        return not is_public(literal)
    name = host.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, also as the C library reads 127.1, 0x7f000001 or 2130706433.

    None for a name, and for an address with a zone, which is of this machine.
    """
    if "%" in host:
        return None
    try:
        return ip_address(host if ":" in host else socket.inet_aton(host))
    except (OSError, ValueError):
        return None
