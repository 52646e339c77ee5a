"""Tasks of workers who are gone are taken over; those who come back late are refused."""

import asyncio

from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    ENCODER,
    StartHeartbeat,
    a_job,
    an_image,
    claim_one,
    draw,
    encode,
)
from workers.jobs import keys
from workers.jobs.job import JobError, JobStatus
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings

STAGES = ("text", "32", "128")


async def workers_of(redis: Redis, stage: str) -> list[bytes]:
    return [row["name"] for row in await redis.xinfo_consumers(keys.stream(stage), keys.GROUP)]


async def test_what_a_living_worker_holds_is_left_to_it(
    queue: Queue, start_heartbeat: StartHeartbeat
) -> None:
    start_heartbeat("w1")
    await queue.submit(a_job())
    await claim_one(queue, "w1", "text")
    assert await queue.reclaim("w2", STAGES, count=8) == []


async def test_a_worker_that_stops_gives_its_tasks_up_at_once(
    queue: Queue, redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    heartbeat = start_heartbeat("w1")
    await queue.submit(a_job())
    held = await claim_one(queue, "w1", "text")
    heartbeat.stop()

    (taken,) = await queue.reclaim("w2", STAGES, count=8)
    assert (taken.entry_id, taken.job_id) == (held.entry_id, held.job_id)
    assert taken.deliveries == 2
    assert await workers_of(redis, "text") == [b"w2"]


async def test_a_stale_worker_is_refused_and_the_job_succeeds_once(queue: Queue) -> None:
    job = a_job()
    await queue.submit(job)
    await encode(queue)
    stale = await claim_one(queue, "w1", "32")  # w1 has no heartbeat: it counts as dead
    (taken,) = await queue.reclaim("w2", STAGES, count=8)

    assert not await queue.commit(stale, "w1", b"stale pixels", "128")
    assert not await queue.fail(stale, "w1", JobError(code="late", message="woke up late"))
    assert await queue.commit(taken, "w2", b"pixels", "128")
    assert not await queue.commit(stale, "w1", b"stale pixels", "128")

    upper = await claim_one(queue, "w2", "128")
    assert (await queue.inputs(upper)).artifact == b"pixels"
    assert await queue.finish(upper, "w2", an_image(upper))
    assert (await queue.job(job.id)).status is JobStatus.SUCCEEDED


async def test_of_two_who_commit_at_once_the_owner_wins(queue: Queue, redis: Redis) -> None:
    await queue.submit(a_job())
    await encode(queue)
    stale = await claim_one(queue, "w1", "32")
    (taken,) = await queue.reclaim("w2", STAGES, count=8)
    commits = await asyncio.gather(
        *(queue.commit(stale, "w1", b"stale pixels", "128") for _ in range(10)),
        *(queue.commit(taken, "w2", b"pixels", "128") for _ in range(10)),
    )
    assert not any(commits[:10])
    assert commits[10:].count(True) == 1
    assert await redis.xlen(keys.stream("128")) == 1


async def test_of_two_who_reclaim_one_gets_the_task(
    queue: Queue, start_heartbeat: StartHeartbeat
) -> None:
    await queue.submit(a_job())
    await claim_one(queue, "w1", "text")
    start_heartbeat("w2")
    start_heartbeat("w3")
    assert len(await queue.reclaim("w2", STAGES, count=8)) == 1
    assert await queue.reclaim("w3", STAGES, count=8) == []


async def test_no_more_than_count_is_taken_and_the_rest_stays(queue: Queue, redis: Redis) -> None:
    await queue.submit(a_job(n=3))
    await encode(queue, "w1")
    await queue.claim("w1", "32", count=3, block_s=0)
    assert len(await queue.reclaim("w2", STAGES, count=2)) == 2
    assert sorted(await workers_of(redis, "32")) == [b"w1", b"w2"]
    assert len(await queue.reclaim("w2", STAGES, count=2)) == 1
    assert await workers_of(redis, "32") == [b"w2"]


async def test_reclaim_drops_the_tasks_of_an_ended_job(queue: Queue, redis: Redis) -> None:
    await queue.submit(a_job(n=2))
    await encode(queue)
    (blamed,) = await queue.claim("w1", "32", count=1, block_s=0)
    await queue.claim("w0", "32", count=1, block_s=0)
    await queue.fail(blamed, "w1", JobError(code="nan", message="not a number"))
    assert await queue.reclaim("w1", STAGES, count=8) == []
    assert await redis.xlen(keys.stream("32")) == 0


async def test_reclaim_before_the_first_job_finds_nothing(queue: Queue) -> None:
    assert await queue.reclaim("w1", STAGES, count=8) == []


async def test_a_task_lost_on_its_way_to_a_living_worker_comes_back(
    redis: Redis, queue_settings: QueueSettings
) -> None:
    """The answer to a claim may be lost with the connection: Redis thinks that we have it."""
    queue = Queue(redis, queue_settings.model_copy(update={"lease_s": 0.0}))
    for _ in range(2):
        await queue.submit(a_job())
    held = await claim_one(queue, "w1", "text")
    await redis.xreadgroup(keys.GROUP, "w1", {keys.stream("text"): ">"}, count=1)

    (found,) = await queue.reclaim("w1", STAGES, count=1)
    assert found.entry_id != held.entry_id
    assert await queue.reclaim("w1", STAGES, count=1) == []
    given = {"a red apple": b"apple", "": b"none"}
    for task in (held, found):
        assert await queue.commit_text(task, "w1", ENCODER, given)
    assert await draw(queue)
    assert await draw(queue)
