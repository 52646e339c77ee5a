"""Where the API listens: whether it can and may, and the URL that reaches it from this machine."""

import os
import socket

from workers.jobs.errors import ImagenError

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CannotListen(ImagenError):
    """Nothing can listen at this host and port; the message says why and the remedy."""


class Unguarded(ImagenError):
    """Other machines would reach the API, and nothing says who of them may."""


def check_can_listen(host: str, port: int) -> None:
    """Tried before anything slow is started.

    Raises: CannotListen.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server does: what a connection just closed has left is not in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CannotListen(
            f"cannot listen on {host}, port {port}: {reason}. Choose another with --port "
            "(IMAGEN_PORT) or --host (IMAGEN_HOST), or stop what uses it"
        ) from None


def local_url(host: str, port: int) -> str:
    """How this machine reaches a server that listens there."""
    name = _EVERY_ADDRESS.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
