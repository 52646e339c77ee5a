"""Redis away: operations say so in our words, and who can wait, waits and says so."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.workers.jobs.conftest import (
    ENCODER,
    FAILURE,
    a_job,
    an_image,
    claim_one,
    draw,
    encode,
    past_its_deadline,
)
from workers.jobs import keys
from workers.jobs.connect import connect, queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import JobStatus, NewJob, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings


async def test_without_redis_every_operation_says_so(tmp_path: Path) -> None:
    settings = QueueSettings(redis_url=f"unix://{tmp_path}/nothing.sock", data_dir=tmp_path)
    async with connect(settings) as client:
        ledger, queue = Ledger(client, settings), Queue(client, settings)
        for operation in (
            ledger.submit(a_job()),
            ledger.job("some-job"),
            ledger.cancel("some-job"),
            ledger.erase("some-job"),
            ledger.expire(),
            queue.claim("w1", "text", count=1),
            queue.reclaim("w1", "text"),
            queue.missing_embeddings("encoder", ["a red apple"]),
        ):
            with pytest.raises(QueueUnavailable):
                await operation


async def test_a_full_redis_is_unavailable(tmp_path: Path) -> None:
    with EmbeddedQueue(tmp_path) as server:
        settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
        async with connect(settings) as client:
            await client.config_set("maxmemory", "1")
            with pytest.raises(QueueUnavailable, match="memory"):
                await Ledger(client, settings).submit(a_job())


async def finish(ledger: Ledger, queue: Queue, job: NewJob, task: Task) -> JobStatus:
    assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
    return JobStatus.SUCCEEDED


async def fail(ledger: Ledger, queue: Queue, job: NewJob, task: Task) -> JobStatus:
    assert await queue.fail(task, "w1", FAILURE)
    return JobStatus.FAILED


async def cancel(ledger: Ledger, queue: Queue, job: NewJob, task: Task) -> JobStatus:
    assert await ledger.cancel(job.id)
    return JobStatus.CANCELED


async def erase(ledger: Ledger, queue: Queue, job: NewJob, task: Task) -> JobStatus:
    await ledger.erase(job.id)
    return JobStatus.CANCELED


async def expire(ledger: Ledger, queue: Queue, job: NewJob, task: Task) -> JobStatus:
    await ledger.expire()
    return JobStatus.EXPIRED


End = Callable[[Ledger, Queue, NewJob, Task], Awaitable[JobStatus]]


@pytest.mark.parametrize("end", [finish, fail, cancel, erase, expire])
async def test_a_full_redis_lets_jobs_end(
    ledger: Ledger, queue: Queue, redis: Redis, end: End
) -> None:
    """Which gives it room again; else it would stay full."""
    job = a_job(deadline_s=600.0)
    await ledger.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    assert await queue.commit(task, "w1", b"pixels", "128")
    task = await claim_one(queue, "w1", "128")
    if end is expire:
        await past_its_deadline(redis, job)
    await redis.config_set("maxmemory", "1")
    try:
        expected = await end(ledger, queue, job, task)
    finally:
        await redis.config_set("maxmemory", "0")
    assert (await ledger.job(job.id)).status is expected
    assert await redis.exists(keys.queued(), keys.deadlines(), keys.artifacts(job.id)) == 0


@pytest.mark.parametrize(
    "command",
    [("REPLICAOF", "127.0.0.1", "1"), ("CONFIG", "SET", "min-replicas-to-write", "1")],
    ids=["a replica", "without replicas"],
)
async def test_a_redis_that_takes_no_writes_is_unavailable(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with EmbeddedQueue(tmp_path) as server:
        settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
        async with connect(settings) as client:
            await client.execute_command(*command)
            with pytest.raises(QueueUnavailable):
                await Ledger(client, settings).submit(a_job())


async def test_a_bug_is_not_taken_for_an_outage(queue_settings: QueueSettings) -> None:
    with pytest.raises(ValueError, match="a bug"), queue_errors():
        raise ValueError("a bug")


def test_a_connection_that_was_reset_is_an_outage_in_uvloop_too() -> None:
    async def write_to_a_closed_one() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1")
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(QueueUnavailable), queue_errors():
                writer.writelines([b"PING"])

    uvloop.run(write_to_a_closed_one())


async def test_a_restarted_redis_still_has_the_job_and_who_holds_it(tmp_path: Path) -> None:
    server = EmbeddedQueue(tmp_path)
    server.start()
    settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
    async with connect(settings) as client:
        ledger, queue = Ledger(client, settings), Queue(client, settings)
        try:
            job = (await ledger.submit(a_job())).job
            held = await claim_one(queue, "w1", "text")
            server.stop()
            server.start()
            assert (await ledger.job(job.id)).parameters == job.parameters
            assert await queue.commit_text(held, "w1", ENCODER, {"a red apple": b"a", "": b"b"})
            assert await draw(queue)
        finally:
            server.stop()
