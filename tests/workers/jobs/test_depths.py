"""How much waits and who is there to do it, measured without changing anything."""

import pytest
from redis.asyncio import Redis

from tests.valkey import read_all
from tests.workers.jobs.conftest import (
    WEBHOOK,
    StartHeartbeat,
    a_job,
    claim_one,
    draw,
    encode,
)
from workers.jobs import keys
from workers.jobs.depths import DepthReader, Depths, StageDepth
from workers.jobs.job import Priority
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue


@pytest.fixture
def reader(redis: Redis) -> DepthReader:
    return DepthReader(redis)


def stage_of(depths: Depths, name: str) -> StageDepth:
    return next(depth for depth in depths.stages if depth.stage == name)


async def test_an_empty_queue_has_no_depth(reader: DepthReader) -> None:
    assert await reader.read() == Depths(images=0, webhooks=0, stages=())


async def test_tasks_are_counted_where_they_are(
    reader: DepthReader, ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    for n in (2, 3):
        await ledger.submit(a_job(n=n))
    await encode(queue)
    await draw(queue)
    await claim_one(queue, "w1", "32")
    before = await read_all(redis)
    depths = await reader.read()
    assert depths.images == 4
    counted = {each.stage: (each.ready, each.held) for each in depths.stages}
    assert counted == {"text": (1, 0), "32": (0, 1), "128": (0, 0)}
    assert await read_all(redis) == before


async def test_the_lag_is_of_the_job_that_is_next(
    reader: DepthReader, ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """Not of one that came before and waits behind it."""
    patient, urgent = a_job(), a_job(priority=Priority.HIGH)
    for job, waited_s in ((patient, 1000), (urgent, 100)):
        await ledger.submit(job)
        ready_at = float((await ledger.job(job.id)).times[0].ready_at or 0)
        await redis.hset(keys.job(job.id), "ready_at:text", str(ready_at - waited_s))
    assert stage_of(await reader.read(), "text").lag_s == pytest.approx(100, abs=10)
    await claim_one(queue, "w1", "text")
    assert stage_of(await reader.read(), "text").lag_s == pytest.approx(1000, abs=10)
    await claim_one(queue, "w1", "text")
    assert stage_of(await reader.read(), "text").lag_s == 0


async def test_a_job_that_is_being_worked_on_does_not_wait(
    reader: DepthReader, ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """However long ago it came; what counts is the latest that the stage has done of it."""
    job = a_job(n=3)
    await ledger.submit(job)
    await encode(queue)

    async def lag_s() -> float:
        return stage_of(await reader.read(), "32").lag_s

    async def ago(field: str, seconds: float) -> None:
        moment = float(await redis.hget(keys.job(job.id), f"{field}:32") or 0)
        await redis.hset(keys.job(job.id), f"{field}:32", str(moment - seconds))

    await ago("ready_at", 1000)
    assert await lag_s() == pytest.approx(1000, abs=10)
    await draw(queue)
    assert await lag_s() == pytest.approx(0, abs=10)
    await ago("settled_at", 100)
    assert await lag_s() == pytest.approx(0, abs=10), "it was claimed since"
    await ago("claimed_at", 500)
    assert await lag_s() == pytest.approx(100, abs=10)


async def test_workers_are_counted_while_they_live(
    reader: DepthReader, start_heartbeat: StartHeartbeat
) -> None:
    first, _ = start_heartbeat("w1"), start_heartbeat("w2")
    depth = stage_of(await reader.read(), "32")
    assert (depth.workers, depth.rows) == (2, 32)
    first.stop()
    assert stage_of(await reader.read(), "32").workers == 1


async def test_a_worker_of_another_version_is_left_out_alone(
    reader: DepthReader, redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    start_heartbeat("w1")
    for shown in ('{"name": "w2", "version": 99}', "no card"):
        await redis.zadd(keys.workers(), {shown: 2**45})
    assert stage_of(await reader.read(), "32").workers == 1


async def test_webhooks_that_wait_are_counted(reader: DepthReader, ledger: Ledger) -> None:
    job = a_job(webhook=WEBHOOK)
    await ledger.submit(job)
    assert (await reader.read()).webhooks == 0
    await ledger.cancel(job.id)
    assert (await reader.read()).webhooks == 1
