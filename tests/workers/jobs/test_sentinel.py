"""Redis by Sentinel: who is primary is asked, and after a failover the service goes on.

Against real servers: a primary, its replica, and a Sentinel that watches them.
"""

import asyncio
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from tests.app.conftest import free_port
from tests.workers.jobs.conftest import ENCODER, a_job, claim_one, draw
from tests.workers.jobs.watched import Watched
from workers.jobs import connect as connecting
from workers.jobs.connect import connect, connect_blocking, queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.sentinel import read_sentinel_url
from workers.jobs.settings import QueueSettings
from workers.patience import Patience


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


class Silent:
    """A server that is connected to and never answers."""

    def __init__(self, stack: ExitStack) -> None:
        self._socket = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._socket.setblocking(False)
        self._stack = stack
        self.port: int = self._socket.getsockname()[1]

    def asked(self) -> int:
        """How often, since the last call."""
        count = 0
        while True:
            try:
                self._stack.enter_context(self._socket.accept()[0])
            except BlockingIOError:
                return count
            count += 1


@pytest.fixture
def silent() -> Iterator[list[Silent]]:
    with ExitStack() as stack:
        yield [Silent(stack) for _ in range(3)]


async def test_silent_sentinels_are_asked_once_and_share_the_time(
    silent: list[Silent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT_S", 1.5)
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in silent)
    settings = QueueSettings(redis_url=f"redis+sentinel://{hosts}/mymaster", data_dir=tmp_path)

    def ping_blocking() -> None:
        with connect_blocking(settings, timeout_s=1.5) as beats, queue_errors():
            beats.ping()

    async with connect(settings) as client:
        for ask in (Ledger(client, settings).job("some-job"), asyncio.to_thread(ping_blocking)):
            began_s = time.monotonic()
            with pytest.raises(QueueUnavailable, match="no Sentinel knows the primary 'mymaster'"):
                await ask
            assert time.monotonic() - began_s < 3, "half of what each by itself would take"
            assert [each.asked() for each in silent] == [1, 1, 1]


async def test_who_answered_is_asked_first_the_next_time(
    watched: Watched, silent: list[Silent], tmp_path: Path
) -> None:
    first = silent[0]
    settings = QueueSettings(redis_url=watched.url_behind(first.port), data_dir=tmp_path)
    async with connect(settings) as client:
        for asked in (1, 0):
            assert await _port(client) == watched.ports[0]
            assert first.asked() == asked
            await client.connection_pool.disconnect()
    with connect_blocking(settings, timeout_s=2.0) as beats:
        for asked in (1, 0):
            assert beats.ping()
            assert first.asked() == asked
            beats.connection_pool.disconnect()


async def test_a_replica_that_refuses_a_script_is_left_also_before_redis_7(tmp_path: Path) -> None:
    """There the error is in the script's: one server plays Sentinel and such a replica."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while said := await reader.read(4096):
            if b"SENTINEL" in said:
                asked += 1
                writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(port)), port))
            elif b"EVAL" in said:
                writer.write(
                    b"-ERR Error running script (call to f_0): @user_script:1: @user_script: 1:"
                    b" -READONLY You can't write against a read only replica.\r\n"
                )
            else:
                writer.write(b"+OK\r\n" * said.count(b"CLIENT"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = QueueSettings(
        redis_url=f"redis+sentinel://127.0.0.1:{port}/mymaster", data_dir=tmp_path
    )
    async with server, connect(settings) as client:
        with pytest.raises(QueueUnavailable, match="the primary is a replica now"), queue_errors():
            await cast(Any, client.eval("return redis.call('SET', 'x', 1)", 0))
    assert asked == 2, "the second time in the hope of another"


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
        "redis+sentinel://:secret\u2100@host/mymaster",
        "sentinel://:secret@host/mymaster",
    ],
)
def test_what_cannot_be_read_is_refused_with_the_form(url: str) -> None:
    with pytest.raises(ValidationError, match=r"redis\+sentinel://host:26379") as refused:
        QueueSettings(redis_url=url)
    (problem,) = refused.value.errors()
    assert "secret" not in problem["msg"]
    told = traceback.format_exception(cast(Any, problem)["ctx"]["error"])
    assert "secret" not in "".join(told)
