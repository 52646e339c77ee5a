"""What Redis announces is heard, and who may have missed something is told so."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.workers.jobs.conftest import FAILURE, a_job, alive_since_long, claim_one, encode
from workers.jobs import announcements, keys
from workers.jobs.announcements import listening
from workers.jobs.connect import connect
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings

PATIENCE_S = 30


class Ear:
    """A listener that can be waited for."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()

    def listen(self, message: str | None) -> None:
        self._heard.put_nowait(message)

    async def next(self) -> str | None:
        return await asyncio.wait_for(self._heard.get(), PATIENCE_S)

    @property
    def empty(self) -> bool:
        return self._heard.empty()


async def test_each_listener_hears_its_channel_once_it_is_subscribed(redis: Redis) -> None:
    one, other = Ear(), Ear()
    async with listening(redis, {"one": one.listen, "other": other.listen}):
        assert await one.next() is None
        assert await other.next() is None
        await redis.publish("one", "a")
        await redis.publish("other", "b")
        await redis.publish("one", "c")
        assert [await one.next(), await one.next(), await other.next()] == ["a", "c", "b"]
        ((_, subscribers),) = await redis.pubsub_numsub("one")
        assert subscribers == 1


async def test_after_it_nothing_listens(redis: Redis) -> None:
    ear = Ear()
    async with listening(redis, {"one": ear.listen}):
        await ear.next()
    ((_, subscribers),) = await redis.pubsub_numsub("one")
    assert subscribers == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "announcements"]


async def test_whatever_makes_a_task_ready_announces_it(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    ears = {stage: Ear() for stage in ("text", "32", "128")}
    channels = {keys.arrived(stage): ear.listen for stage, ear in ears.items()}
    async with listening(redis, channels):
        for ear in ears.values():
            assert await ear.next() is None
        await ledger.submit(a_job(n=2))
        assert await ears["text"].next() == ""
        await encode(queue)
        for _ in range(2):
            assert await ears["32"].next() == ""
        handed_back, left = await queue.claim("w1", "32", count=2)
        await queue.hand_back("w1", [handed_back])
        assert await ears["32"].next() == ""
        await alive_since_long(redis, "w2")
        await queue.reclaim("w2", "32")
        assert await ears["32"].next() == ""
        task = await claim_one(queue, "w2", "32")
        assert not await queue.commit(left, "w1", b"pixels", "128")
        assert ears["128"].empty
        assert await queue.commit(task, "w2", b"pixels", "128")
        assert await ears["128"].next() == ""


async def test_an_end_is_announced_once_with_the_job(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    ear = Ear()
    async with listening(redis, {keys.ended(): ear.listen}):
        assert await ear.next() is None
        canceled, failed = a_job(n=2), a_job()
        for job in (canceled, failed):
            await ledger.submit(job)
        assert await ledger.cancel(canceled.id)
        assert not await ledger.cancel(canceled.id)
        await queue.fail(await claim_one(queue, "w1", "text"), "w1", FAILURE)
        assert [await ear.next(), await ear.next()] == [canceled.id, failed.id]
        assert ear.empty


async def test_silence_is_no_loss_while_redis_answers(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "SILENCE_S", 0.05)
    ear = Ear()
    async with redis.monitor() as monitor, listening(redis, {"one": ear.listen}):
        assert await ear.next() is None
        pings = 0
        while pings < 3:
            command = await asyncio.wait_for(monitor.next_command(), PATIENCE_S)
            pings += command["command"] == "PING"
        assert ear.empty  # it was not subscribed again


async def test_a_cut_connection_is_made_again_and_told(redis: Redis) -> None:
    ear = Ear()
    async with listening(redis, {"one": ear.listen}):
        assert await ear.next() is None
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await ear.next() is None
        await redis.publish("one", "a")
        assert await ear.next() == "a"


class Warned(logging.Handler):
    """Says when something is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.event.set()


@pytest.mark.parametrize("stops", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "dies"])
async def test_a_redis_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: signal.Signals
) -> None:
    monkeypatch.setattr(announcements, "SILENCE_S", 0.05)
    monkeypatch.setattr(announcements, "RECONNECT_PAUSE_S", 0.05)
    warned, ear = Warned(), Ear()
    announcements.log.addHandler(warned)
    server = EmbeddedQueue(tmp_path)
    server.start()
    settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
    try:
        async with connect(settings) as client, listening(client, {"one": ear.listen}):
            assert await ear.next() is None
            assert server._process is not None
            os.kill(server._process.pid, stops)
            await asyncio.wait_for(warned.event.wait(), PATIENCE_S)
            if stops is signal.SIGSTOP:
                os.kill(server._process.pid, signal.SIGCONT)
            else:
                server.stop()
                server.start()
            assert await ear.next() is None
            await client.publish("one", "a")
            while (message := await ear.next()) is None:
                pass  # a slow machine may have been silent for too long once more
            assert message == "a"
    finally:
        announcements.log.removeHandler(warned)
        server.stop()
