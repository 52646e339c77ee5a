"""What is this machine's alone: addresses, the names of a Host header, requests."""

import ipaddress
import re
import socket

from starlette.requests import Request

_HOST = re.compile(r"(\[[^][]*]|[^][:]*)(:[0-9]*)?")
"""A Host header: a name or an address, IPv6 in brackets; then a port."""

_PASSED_ON = ("forwarded", "x-forwarded-for")
"""A proxy adds one of these: who asks is elsewhere, though the proxy is here."""


def is_loopback(address: str) -> bool:
    """Whether this is an address, not a name, by which a machine reaches itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def listens_on_loopback(host: str) -> bool:
    """Whether a server that listens at this name or address is out of other machines' reach.

    Raises: OSError where the name is unknown.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return all(is_loopback(str(address[0])) for *_, address in found)


def is_from_here(request: Request, public_host: str | None) -> bool:
    """Whether this machine sent the request, and meant to send it to us.

    What reached a loopback address was sent from here, unless a proxy passed it on. What
    names us in its Host header was meant for us: a page of another site, whose name was made
    to lead here (DNS rebinding), has a browser send the name of that site.

    public_host: how else we are named, as a URL has it.
    """
    server = request.scope.get("server")
    if server is None or not is_loopback(server[0]):
        return False
    if any(name in request.headers for name in _PASSED_ON):
        return False
    named = request.headers.getlist("host")
    parts = _HOST.fullmatch(named[0].lower()) if len(named) == 1 else None
    if parts is None:
        return False
    host = parts[1]
    return host in ("localhost", public_host) or is_loopback(host.strip("[]"))
