"""Real servers for the tests of Sentinel: a primary, its replica, and who watches them."""

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import redis

from app.processes.embedded_queue import find_server
from tests.app.conftest import free_port

PASSWORD = "p@ss:word/"
IN_URL = "p%40ss%3Aword%2F"
SENTINEL_PASSWORD = "another"
PATIENCE_S = 90.0
"""A Sentinel on a busy machine does nothing for 30 s after its clock has jumped."""


class Watched:
    """A primary and its replica, watched by one Sentinel, whose word is enough."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.sentinel_port = free_port()
        self.ports = [free_port(), free_port()]
        self.processes = [self._server(self.ports[0]), self._server(self.ports[1])]
        self.client(self.ports[1], PASSWORD).replicaof("127.0.0.1", str(self.ports[0]))
        self._copied = self.client(self.ports[0], PASSWORD)
        self.wait_until_copied()
        self._sentinel()

    @property
    def url(self) -> str:
        """Its first Sentinel is one that is not there."""
        return self.url_behind(free_port())

    def url_behind(self, port: int) -> str:
        """With another Sentinel in front, at this port."""
        hosts = f"127.0.0.1:{port},127.0.0.1:{self.sentinel_port}"
        query = f"sentinel_password={SENTINEL_PASSWORD}"
        return f"redis+sentinel://:{IN_URL}@{hosts}/mymaster/0?{query}"

    def client(self, port: int, password: str) -> "redis.Redis":
        client = redis.Redis(port=port, password=password, socket_timeout=PATIENCE_S)
        self._stack.callback(client.close)
        return client

    def wait_until_copied(self) -> None:
        self._copied.set("last", "", ex=60)  # WAIT is for what its own connection has written
        assert self._copied.wait(1, int(PATIENCE_S * 1000)) == 1

    def fail_over(self, *, kill: bool) -> None:
        """Returns when the replica is the primary; not killed, the one before is a replica then."""
        sentinel = self.client(self.sentinel_port, SENTINEL_PASSWORD)
        with sentinel.pubsub() as heard:
            heard.subscribe("+switch-master")
            if kill:
                self.processes[0].kill()
            else:
                while not _begins(sentinel):
                    heard.get_message(timeout=0.1)
            while (message := heard.get_message(timeout=PATIENCE_S)) is not None:
                if cast(Any, message)["type"] == "message":
                    if not kill:  # a Sentinel would take 10 s, and then end its connections
                        self._copied.replicaof("127.0.0.1", str(self.ports[1]))
                    return
        raise AssertionError("no failover")

    def _server(self, port: int) -> subprocess.Popen[bytes]:
        lines = ["appendonly no", 'save ""', f"requirepass {PASSWORD}", f"masterauth {PASSWORD}"]
        return self._start(port, [*lines, "repl-diskless-sync-delay 0"], PASSWORD)

    def _sentinel(self) -> None:
        lines = [
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel monitor mymaster 127.0.0.1 {self.ports[0]} 1",
            f"sentinel auth-pass mymaster {PASSWORD}",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 1000",
        ]
        self._start(self.sentinel_port, lines, SENTINEL_PASSWORD, "--sentinel")
        client = self.client(self.sentinel_port, SENTINEL_PASSWORD)
        with client.pubsub() as heard:
            heard.subscribe("+slave")
            while not client.sentinel_slaves("mymaster"):
                heard.get_message(timeout=0.1)

    def _start(
        self, port: int, lines: Sequence[str], password: str, *options: str
    ) -> subprocess.Popen[bytes]:
        folder = self._folder / str(port)
        folder.mkdir()
        file = folder / "server.conf"
        file.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *lines]))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([find_server(), file, *options], stdout=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        client = self.client(port, password)
        for _ in range(1000):
            try:
                client.ping()
            except redis.ConnectionError:
                assert process.poll() is None, (folder / "log").read_text()
            else:
                return process
        raise AssertionError((folder / "log").read_text())


def _begins(sentinel: "redis.Redis") -> bool:
    """False where the Sentinel has not yet looked at the replica, and so would not promote it."""
    try:
        sentinel.execute_command("SENTINEL", "FAILOVER", "mymaster")
    except redis.ResponseError as error:
        if "NOGOODSLAVE" not in str(error):
            raise
        return False
    return True
