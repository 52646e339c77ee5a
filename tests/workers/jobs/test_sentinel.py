"""Redis by Sentinel: who is primary is asked, and after a failover the service goes on.

Against real servers: a primary, its replica, and a Sentinel that watches them.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from pydantic import ValidationError
from redis.asyncio import Redis

from app.processes.embedded_queue import find_server
from tests.app.conftest import free_port
from tests.workers.jobs.conftest import ENCODER, a_job, claim_one, draw
from workers.jobs.connect import connect, connect_blocking, queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.sentinel import read_sentinel_url
from workers.jobs.settings import QueueSettings
from workers.patience import Patience

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
        """Its first Sentinel is one that does not answer."""
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{self.sentinel_port}"
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
                sentinel.execute_command("SENTINEL", "FAILOVER", "mymaster")
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


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(tmp_path, stack)


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "put aside"])
async def test_after_a_failover_the_service_goes_on(
    watched: Watched, tmp_path: Path, kill: bool
) -> None:
    """With what the replica had: the job, and who holds its task."""
    settings = QueueSettings(redis_url=watched.url, data_dir=tmp_path)
    async with connect(settings) as client:
        ledger, queue = Ledger(client, settings), Queue(client, settings)
        beats = connect_blocking(settings, timeout_s=1.0)
        assert beats.ping()
        job = (await ledger.submit(a_job())).job
        held = await claim_one(queue, "w1", "text")
        watched.wait_until_copied()
        watched.fail_over(kill=kill)
        texts = {"a red apple": b"a", "": b"b"}
        assert await Patience()(queue.commit_text, held, "w1", ENCODER, texts)
        assert await draw(queue)
        assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED
        assert beats.set("imagen:worker:w1", "1", ex=1)
        assert await _port(client) == watched.ports[1]
        beats.close()


async def _port(client: Redis) -> int:
    return int(cast(Any, await client.info("server"))["tcp_port"])


async def test_where_no_sentinel_answers_the_queue_is_away(tmp_path: Path) -> None:
    here = f"127.0.0.1:{free_port()}"
    settings = QueueSettings(
        redis_url=f"redis+sentinel://:secret@{here}/mymaster", data_dir=tmp_path
    )
    async with connect(settings) as client:
        with pytest.raises(QueueUnavailable, match=f"'mymaster': {here}") as refused:
            await Ledger(client, settings).job("some-job")
    assert "secret" not in str(refused.value)
    with (
        connect_blocking(settings, timeout_s=1.0) as beats,
        pytest.raises(QueueUnavailable, match=f"'mymaster': {here}"),
        queue_errors(),
    ):
        beats.ping()


async def test_a_primary_that_is_not_watched_is_named(watched: Watched, tmp_path: Path) -> None:
    url = watched.url.replace("/mymaster/", "/other/")
    async with connect(QueueSettings(redis_url=url, data_dir=tmp_path)) as client:
        with pytest.raises(QueueUnavailable, match=r"'other'.* watches none of that name"):
            await Ledger(client, QueueSettings(redis_url=url)).job("some-job")


def test_a_url_says_it_all() -> None:
    read = read_sentinel_url(
        "rediss+sentinel://me:p%40ss@one:1,[::1],three/my%20own/2"
        "?ssl_ca_certs=/ca.crt&sentinel_password=s&health_check_interval=5"
    )
    assert read.sentinels == (("one", 1), ("::1", 26_379), ("three", 26_379))
    assert (read.primary, read.tls) == ("my own", True)
    tls = {"ssl_ca_certs": "/ca.crt"}
    user = {"username": "me", "password": "p@ss", "db": 2, "health_check_interval": 5}
    assert read.options == user | tls
    assert read.sentinel_options == {"username": None, "password": "s"} | tls


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:secret@host",
        "redis+sentinel://:secret@/mymaster",
        "redis+sentinel://:secret@host,/mymaster",
        "redis+sentinel://:secret@host:port/mymaster",
        "redis+sentinel://:secret@host/mymaster/zero",
        "sentinel://:secret@host/mymaster",
    ],
)
def test_what_cannot_be_read_is_refused_with_the_form(url: str) -> None:
    with pytest.raises(ValidationError, match=r"redis\+sentinel://host:26379") as refused:
        QueueSettings(redis_url=url)
    (problem,) = refused.value.errors()
    assert "secret" not in problem["msg"]
