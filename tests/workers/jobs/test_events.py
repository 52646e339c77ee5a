"""Waiting for a job's end: woken by it, or by the clock, or by a new subscription."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import a_job, claim_one, draw, encode
from workers.jobs import keys
from workers.jobs.errors import JobNotFound
from workers.jobs.events import JobWatcher
from workers.jobs.job import Job, JobError, JobStatus
from workers.jobs.queue import Queue


async def start_waiting(watcher: JobWatcher, job: Job) -> asyncio.Task[Job]:
    """A waiter that has looked at the job once and sleeps."""
    waiter = asyncio.create_task(watcher.wait(job.id, timeout_s=30))
    while not watcher.waiting(job.id) and not waiter.done():
        await asyncio.sleep(0)
    return waiter


async def subscriptions(redis: Redis) -> int:
    ((_, count),) = await redis.pubsub_numsub(keys.ended())
    return int(count)


async def test_waiters_wake_when_their_job_ends(queue: Queue, watcher: JobWatcher) -> None:
    job, other = a_job(), a_job("a cat")
    await queue.submit(job)
    await queue.submit(other)
    waiters = [await start_waiting(watcher, job) for _ in range(3)]
    waiter_of_other = await start_waiting(watcher, other)
    await encode(queue)
    await draw(queue)
    for done in await asyncio.gather(*waiters):
        assert done.status is JobStatus.SUCCEEDED
    assert not waiter_of_other.done()

    task = await claim_one(queue, "w1", "text")
    await queue.fail(task, "w1", JobError(code="test", message="on purpose"))
    assert (await waiter_of_other).status is JobStatus.FAILED
    assert not watcher.waiting(job.id)


async def test_a_hundred_waiters_share_one_connection(
    queue: Queue, redis: Redis, watcher: JobWatcher
) -> None:
    job = a_job()
    await queue.submit(job)
    waiters = [await start_waiting(watcher, job) for _ in range(100)]
    await encode(queue)
    await draw(queue)
    await asyncio.gather(*waiters)
    assert await subscriptions(redis) == 1


async def test_an_ended_job_needs_no_waiting(queue: Queue, watcher: JobWatcher) -> None:
    job = a_job()
    await queue.submit(job)
    await encode(queue)
    await draw(queue)
    assert (await watcher.wait(job.id, timeout_s=30)).status is JobStatus.SUCCEEDED


async def test_the_clock_ends_a_wait_with_the_job_as_it_stands(
    queue: Queue, watcher: JobWatcher
) -> None:
    job = a_job()
    await queue.submit(job)
    assert await watcher.wait(job.id, timeout_s=0) == job
    assert await watcher.wait(job.id, timeout_s=0.01) == job


async def test_waiting_for_an_unknown_job_fails(watcher: JobWatcher) -> None:
    with pytest.raises(JobNotFound):
        await watcher.wait("unknown", timeout_s=30)


async def test_a_wake_up_lost_to_a_reconnect_hangs_nobody(
    queue: Queue, redis: Redis, watcher: JobWatcher
) -> None:
    job = a_job()
    await queue.submit(job)
    waiter = await start_waiting(watcher, job)
    # The job ends, and no one is told of it.
    await redis.hset(keys.job(job.id), "status", "canceled")
    await redis.expire(keys.job(job.id), 60)
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await waiter).status is JobStatus.CANCELED
