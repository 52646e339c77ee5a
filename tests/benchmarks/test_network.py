"""Hosts on one machine: they reach each other and no one else, until one is cut off."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.network import Host, NoHosts, network

OURS = Path("/proc/thread-self/ns/net")

ALIVE_S = 10.0
SILENT_S = 0.3


@pytest.fixture
def hosts() -> Iterator[Mapping[str, Host]]:
    with ExitStack() as stack:
        try:
            hosts = stack.enter_context(network("one", "other"))
        except NoHosts as reason:
            pytest.skip(str(reason))
        yield hosts


def test_who_is_cut_off_is_silent_and_then_goes_on(hosts: Mapping[str, Host]) -> None:
    """No reset: a connection is still there, and what was sent meanwhile comes late."""
    address = (hosts["one"].address, 7)
    with hosts["one"].entered(), socket.create_server(address) as listener:
        with hosts["other"].entered():
            sender = socket.create_connection(address, ALIVE_S)
        receiver, _ = listener.accept()
        with sender, receiver:
            with hosts["other"].cut_off():
                sender.sendall(b"late")
                receiver.settimeout(SILENT_S)
                with pytest.raises(TimeoutError):
                    receiver.recv(4)
                with hosts["other"].entered(), pytest.raises(TimeoutError):
                    socket.create_connection(address, SILENT_S)
            receiver.settimeout(ALIVE_S)
            assert receiver.recv(4) == b"late"


def test_no_one_else_is_reached_and_nothing_stays(hosts: Mapping[str, Host]) -> None:
    ours = OURS.readlink()
    with hosts["one"].entered():
        assert OURS.readlink() != ours
        assert {name for _, name in socket.if_nameindex()} >= {"lo", "eth0"}
        with pytest.raises(OSError, match="unreachable"):
            socket.create_connection(("192.0.2.1", 7), SILENT_S)
    assert OURS.readlink() == ours
    assert not {"switch", "one", "other"} & {name for _, name in socket.if_nameindex()}
