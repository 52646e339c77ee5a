"""Where the time of a job went: when each stage could begin, began, and had its latest result."""

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    FAILURE,
    a_job,
    alive_since_long,
    an_image,
    claim_one,
    draw,
    encode,
)
from workers.jobs.job import NewJob, StageTimes
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue


async def times(ledger: Ledger, job: NewJob) -> dict[str, StageTimes]:
    return {times.stage: times for times in (await ledger.job(job.id)).times}


async def submit(ledger: Ledger, n: int = 1) -> NewJob:
    job = a_job(n=n)
    await ledger.submit(job)
    return job


def never_back(*moments: float | None) -> bool:
    known = [moment for moment in moments if moment is not None]
    return len(known) == len(moments) and known == sorted(known)


async def test_each_stage_is_timed_after_the_one_before(ledger: Ledger, queue: Queue) -> None:
    job = await submit(ledger)
    await encode(queue)
    await draw(queue)
    ended = await ledger.job(job.id)
    assert [stage.stage for stage in ended.times] == ["text", "32", "128"]
    moments = [
        moment
        for stage in ended.times
        for moment in (stage.ready_at, stage.claimed_at, stage.settled_at)
    ]
    assert never_back(ended.created_at, *moments, ended.finished_at)


async def test_a_stage_is_timed_from_its_first_task_to_its_latest_result(
    ledger: Ledger, queue: Queue
) -> None:
    job = await submit(ledger, n=3)
    await encode(queue)
    assert (await times(ledger, job))["32"].claimed_at is None
    first = await claim_one(queue, "w1", "32")
    begun = (await times(ledger, job))["32"]
    assert begun.claimed_at is not None
    assert begun.settled_at is None
    second, third = await queue.claim("w2", "32", count=2)
    assert (await times(ledger, job))["32"] == begun
    settled = []
    for task in (first, second, third):
        assert await queue.commit(task, task.token.partition("/")[0], b"pixels", "128")
        now = await times(ledger, job)
        settled.append(now["32"].settled_at)
        assert (now["32"].ready_at, now["32"].claimed_at) == (begun.ready_at, begun.claimed_at)
        assert now["128"].ready_at == pytest.approx(settled[0], abs=0.1)
    assert never_back(*settled)
    assert settled[0] != settled[-1]


async def test_what_is_begun_anew_does_not_begin_the_stage_anew(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """Handed back by one worker, and taken from another who died: the stage takes that longer."""
    job = await submit(ledger)
    await encode(queue)
    await queue.hand_back("w1", [await claim_one(queue, "w1", "32")])
    begun = (await times(ledger, job))["32"]
    await alive_since_long(redis, "w2")
    await claim_one(queue, "w1", "32")
    await queue.reclaim("w2", "32")
    task = await claim_one(queue, "w2", "32")
    assert (await times(ledger, job))["32"] == begun
    assert await queue.commit(task, "w2", b"pixels", "128")
    ended = (await times(ledger, job))["32"]
    assert (ended.ready_at, ended.claimed_at) == (begun.ready_at, begun.claimed_at)
    assert never_back(ended.ready_at, ended.claimed_at, ended.settled_at)


async def test_a_failure_is_a_result(ledger: Ledger, queue: Queue) -> None:
    job = await submit(ledger)
    await queue.fail(await claim_one(queue, "w1", "text"), "w1", FAILURE)
    text = (await times(ledger, job))["text"]
    assert never_back(text.ready_at, text.claimed_at, text.settled_at)


async def test_what_comes_too_late_is_no_result(ledger: Ledger, queue: Queue) -> None:
    job = await submit(ledger, n=2)
    await encode(queue)
    held, done = await queue.claim("w1", "32", count=2)
    assert await queue.commit(done, "w1", b"pixels", "128")
    await ledger.cancel(job.id)
    canceled = await times(ledger, job)
    assert not await queue.commit(held, "w1", b"pixels", "128")
    assert await times(ledger, job) == canceled
    assert canceled["32"].settled_at is not None
    assert (canceled["128"].claimed_at, canceled["128"].settled_at) == (None, None)


async def test_the_last_image_ends_the_last_stage(ledger: Ledger, queue: Queue) -> None:
    job = await submit(ledger, n=2)
    await encode(queue)
    settled = []
    for _ in range(2):
        task = await claim_one(queue, "w1", "32")
        assert await queue.commit(task, "w1", b"pixels", "128")
        task = await claim_one(queue, "w1", "128")
        assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
        settled.append((await times(ledger, job))["128"].settled_at)
    ended = await ledger.job(job.id)
    assert never_back(*settled, ended.finished_at)
    assert settled[0] != settled[1]
