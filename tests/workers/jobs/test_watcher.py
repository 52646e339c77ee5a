"""Waiting for a job's end: woken by it, or by the clock, or by a new subscription."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import FAILURE, a_job, claim_one, draw, encode
from workers.jobs import keys
from workers.jobs.errors import JobNotFound
from workers.jobs.job import Job, JobStatus, NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.scripts import source
from workers.jobs.settings import QueueSettings
from workers.jobs.watcher import JobWatcher


async def start_waiting(watcher: JobWatcher, job: NewJob) -> asyncio.Task[Job]:
    """A waiter that has looked at the job once and sleeps."""
    waiter = asyncio.create_task(watcher.wait(job.id, timeout_s=30))
    while not watcher.bells.waiting(job.id) and not waiter.done():
        await asyncio.sleep(0)
    return waiter


async def subscriptions(redis: Redis) -> int:
    ((_, count),) = await redis.pubsub_numsub(keys.ended())
    return int(count)


async def test_waiters_wake_when_their_job_ends(
    ledger: Ledger, queue: Queue, watcher: JobWatcher
) -> None:
    job, other = a_job(), a_job("a cat")
    await ledger.submit(job)
    await ledger.submit(other)
    waiters = [await start_waiting(watcher, job) for _ in range(3)]
    waiter_of_other = await start_waiting(watcher, other)
    await encode(queue)
    await draw(queue)
    for done in await asyncio.gather(*waiters):
        assert done.status is JobStatus.SUCCEEDED
    assert not waiter_of_other.done()

    task = await claim_one(queue, "w1", "text")
    await queue.fail(task, "w1", FAILURE)
    assert (await waiter_of_other).status is JobStatus.FAILED
    assert not watcher.bells.waiting(job.id)


async def test_a_hundred_waiters_share_one_connection(
    ledger: Ledger, queue: Queue, redis: Redis, watcher: JobWatcher
) -> None:
    job = a_job()
    await ledger.submit(job)
    waiters = [await start_waiting(watcher, job) for _ in range(100)]
    await encode(queue)
    await draw(queue)
    await asyncio.gather(*waiters)
    assert await subscriptions(redis) == 1


async def test_an_ended_job_needs_no_waiting(
    ledger: Ledger, queue: Queue, watcher: JobWatcher
) -> None:
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    await draw(queue)
    assert (await watcher.wait(job.id, timeout_s=30)).status is JobStatus.SUCCEEDED


async def test_the_clock_ends_a_wait_with_the_job_as_it_stands(
    ledger: Ledger, watcher: JobWatcher
) -> None:
    job = (await ledger.submit(a_job())).job
    assert await watcher.wait(job.id, timeout_s=0) == job
    assert await watcher.wait(job.id, timeout_s=0.01) == job


async def test_waiting_for_an_unknown_job_fails(watcher: JobWatcher) -> None:
    with pytest.raises(JobNotFound):
        await watcher.wait("unknown", timeout_s=30)


async def test_a_wake_up_lost_to_a_reconnect_hangs_nobody(
    ledger: Ledger, redis: Redis, watcher: JobWatcher, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await ledger.submit(job)
    waiter = await start_waiting(watcher, job)
    async with redis.pipeline() as pipeline:  # at once: no one can hear of it
        pipeline.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        pipeline.eval(source("cancel", queue_settings), 0, job.id)
        await pipeline.execute()
    assert (await waiter).status is JobStatus.CANCELED
