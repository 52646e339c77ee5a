"""A worker that stops gives back what it has not finished; that costs the tasks nothing."""

from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    a_job,
    alive_since_long,
    an_image,
    claim_one,
    draw,
    encode,
)
from workers.jobs import keys
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings


async def test_what_is_handed_back_is_there_for_others_at_once(
    ledger: Ledger, queue: Queue
) -> None:
    """Without a heartbeat, a lease or a reclaim."""
    await ledger.submit(a_job(n=2))
    await ledger.submit(a_job("a cat"))
    await encode(queue)
    images = await queue.claim("w1", "32", count=2)
    text = await claim_one(queue, "w1", "text")
    await queue.hand_back("w1", queue.held("w1"))
    taken = await queue.claim("w2", "32", count=8) + await queue.claim("w2", "text", count=8)
    assert [task.name for task in taken] == [task.name for task in [*images, text]]


async def test_only_the_tasks_that_are_given_are_handed_back(ledger: Ledger, queue: Queue) -> None:
    await ledger.submit(a_job(n=2))
    await encode(queue)
    first, second = await queue.claim("w1", "32", count=2)
    await queue.hand_back("w1", [second])
    assert [task.name for task in await queue.claim("w2", "32", count=2)] == [second.name]
    assert await queue.commit(first, "w1", b"pixels", "128")


async def test_a_delivery_that_was_handed_back_does_not_count(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    await ledger.submit(a_job())
    await encode(queue)
    await alive_since_long(redis, "w2")
    await claim_one(queue, "w1", "32")  # and dies with it
    await queue.reclaim("w2", "32")
    for _ in range(queue_settings.max_deliveries):
        task = await claim_one(queue, "w1", "32")
        assert task.deliveries == 2
        await queue.hand_back("w1", [task])
    assert await draw(queue)


async def test_a_delivery_that_is_told_to_counts(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    for delivery in range(1, queue_settings.max_deliveries):
        task = await claim_one(queue, "w1", "32")
        assert task.deliveries == delivery
        await queue.hand_back("w1", [task], counted=True)
    await alive_since_long(redis, "w2")
    await claim_one(queue, "w1", "32")  # and dies with it
    await queue.reclaim("w2", "32")
    failed = await ledger.job(job.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "gave_up")


async def test_what_is_handed_back_is_held_no_more(ledger: Ledger, queue: Queue) -> None:
    await ledger.submit(a_job(n=2))
    await encode(queue)
    first, second = await queue.claim("w1", "32", count=2)
    assert queue.held("w1") == [first, second]
    assert queue.held("w2") == []
    await queue.hand_back("w1", [first])
    assert queue.held("w1") == [second]
    assert await queue.commit(second, "w1", b"pixels", "128")
    assert queue.held("w1") == []


async def test_what_the_worker_does_not_hold_is_left_alone(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """A task that it has lost to another, one that is done, and one whose job has ended."""
    jobs = [a_job(prompt) for prompt in ("one", "two", "three")]
    for job in jobs:
        await ledger.submit(job)
        await encode(queue)
    lost, done, unwanted = await queue.claim("w1", "32", count=3)
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", "32")
    current = await queue.claim("w2", "32", count=3)
    assert await queue.commit(current[1], "w2", b"pixels", "128")
    await ledger.cancel(jobs[2].id)
    await queue.hand_back("w1", [lost, done, unwanted])
    assert await redis.exists(keys.ready("32")) == 0
    assert await queue.commit(current[0], "w2", b"pixels", "128")
    for task in await queue.claim("w2", "128", count=2):
        assert await queue.finish(task, "w2", an_image(task)) is Effect.DONE


async def test_who_has_a_task_again_keeps_it_though_an_older_result_comes_late(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await ledger.submit(a_job())
    await encode(queue)
    older = await claim_one(queue, "w1", "32")
    await queue.hand_back("w1", [older])
    later = await claim_one(queue, "w1", "32")
    assert not await queue.commit(older, "w1", b"stale pixels", "128")
    await alive_since_long(redis, "w1")
    assert await queue.reclaim("w1", "32") == []
    assert await queue.commit(later, "w1", b"pixels", "128")


async def test_handing_nothing_back_is_no_error(queue: Queue) -> None:
    assert queue.held("w1") == []
    await queue.hand_back("w1", [])
