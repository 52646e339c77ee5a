"""Several hosts on one machine: network namespaces at one switch, each of which can be cut off.

Needs Linux, root and iproute2. Knows nothing of what runs on the hosts.

A namespace has no name here: it lives as long as a file that is open on it, or a process in it, so
that none outlives a run, and two runs cannot meet. For the same reason the addresses are free.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

CLONE_NEWNET = 0x40000000
OURS = "/proc/thread-self/ns/net"


class NoHosts(Exception):
    """Hosts cannot be made on this machine; the message says why."""


@dataclass(frozen=True)
class Namespace:
    """A network of its own. descriptor: of a file that keeps it."""

    descriptor: int

    @property
    def path(self) -> str:
        """Under which `ip` finds it, which is another process."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in it: the sockets it opens, the threads and processes it starts.

        These stay there.
        """
        with _opened(OURS) as before:
            _enter(self.descriptor)
            try:
                yield
            finally:
                _enter(before)

    def ip(self, *arguments: str) -> None:
        """Runs `ip` in it. Raises: NoHosts, with what it says."""
        with self.entered():
            done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise NoHosts(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@dataclass(frozen=True)
class Host:
    """A namespace with one address; `port` is the switch's end of its cable."""

    namespace: Namespace
    switch: Namespace
    port: str
    address: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        """As Namespace.entered."""
        with self.namespace.entered():
            yield

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """No packet leaves or reaches it, and nothing tells it or the others; then it is back."""
        self.switch.ip("link", "set", "dev", self.port, "nomaster")
        try:
            yield
        finally:
            self.switch.ip("link", "set", "dev", self.port, "master", "switch")


@contextmanager
def network(*names: str) -> Iterator[Mapping[str, Host]]:
    """Hosts that reach each other and no one else, by name: at most 15 bytes each.

    Raises: NoHosts.
    """
    _check_possible()
    with ExitStack() as stack:
        switch = stack.enter_context(_new_namespace())
        switch.ip("link", "add", "switch", "type", "bridge")
        switch.ip("link", "set", "switch", "up")
        hosts: dict[str, Host] = {}
        for number, name in enumerate(names, start=1):
            namespace = stack.enter_context(_new_namespace())
            hosts[name] = Host(namespace, switch, name, f"10.0.0.{number}")
            _plug_in(hosts[name])
        yield hosts


def _check_possible() -> None:
    if shutil.which("ip") is None:
        raise NoHosts("there is no `ip`: install iproute2")
    if os.geteuid() != 0:
        raise NoHosts("only root may make network namespaces")


def _plug_in(host: Host) -> None:
    host.switch.ip(
        *("link", "add", "name", host.port, "type", "veth"),
        *("peer", "name", "eth0", "netns", host.namespace.path),
    )
    host.switch.ip("link", "set", "dev", host.port, "master", "switch", "up")
    host.namespace.ip("address", "add", f"{host.address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        host.namespace.ip("link", "set", device, "up")


@contextmanager
def _new_namespace() -> Iterator[Namespace]:
    with ExitStack() as stack:
        with _opened(OURS) as before:
            _call("unshare", CLONE_NEWNET)
            try:
                descriptor = stack.enter_context(_opened(OURS))
            finally:
                _enter(before)
        yield Namespace(descriptor)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(descriptor: int) -> None:
    _call("setns", descriptor, CLONE_NEWNET)


def _call(function: str, *arguments: int) -> None:
    """Of libc; `os` has these from Python 3.12 on."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        raise NoHosts(f"{function}: {os.strerror(ctypes.get_errno())}")
