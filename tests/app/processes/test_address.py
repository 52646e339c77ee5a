"""A port that cannot be had is an error with its remedy; every listener has a URL."""

import socket

import pytest

from app.processes.address import CannotListen, check_can_listen, local_url


def test_a_port_in_use_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port}: Address already in use.*--port"):
            check_can_listen("127.0.0.1", port)
    check_can_listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1.*--host"):
        check_can_listen("192.0.2.1", 8000)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("gpu.example", "http://gpu.example:8000"),
    ],
)
def test_every_listener_has_a_url_on_this_machine(host: str, url: str) -> None:
    assert local_url(host, 8000) == url
