"""What clients do with jobs: each is accepted once, ends once, and is then read for a while."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.valkey import leaked_keys
from tests.workers.jobs.conftest import (
    ENCODER,
    FAILURE,
    WEBHOOK,
    a_job,
    an_image,
    claim_one,
    draw,
    encode,
    past_its_deadline,
)
from workers.jobs import keys
from workers.jobs.errors import JobNotFound
from workers.jobs.job import Job, JobStatus, NewJob, Priority, StageTimes
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings
from workers.jobs.watcher import JobWatcher

STAGES = ("text", "32", "128")

End = Callable[[Ledger, Redis, NewJob], Awaitable[JobStatus]]


async def by_cancel(ledger: Ledger, redis: Redis, job: NewJob) -> JobStatus:
    assert await ledger.cancel(job.id)
    return JobStatus.CANCELED


async def by_erase(ledger: Ledger, redis: Redis, job: NewJob) -> JobStatus:
    await ledger.erase(job.id)
    return JobStatus.CANCELED


async def by_expiry(ledger: Ledger, redis: Redis, job: NewJob) -> JobStatus:
    await past_its_deadline(redis, job)
    await ledger.expire()
    return JobStatus.EXPIRED


async def by_expiry_at_a_claim(ledger: Ledger, redis: Redis, job: NewJob) -> JobStatus:
    """Of several of its tasks at once, as a worker with room for them makes it."""
    await past_its_deadline(redis, job)
    assert await Queue(redis, QueueSettings()).claim("w9", "32", count=8) == []
    return JobStatus.EXPIRED


ends = pytest.mark.parametrize("end", [by_cancel, by_erase, by_expiry, by_expiry_at_a_claim])


async def test_a_job_is_read_as_it_was_asked_for(ledger: Ledger) -> None:
    asked = a_job(n=2, owner="ann", priority=Priority.HIGH, deadline_s=60.0, webhook=WEBHOOK)
    accepted = await ledger.submit(asked)
    assert not accepted.repeated
    created_at = accepted.job.created_at
    assert accepted.job == Job(
        **asked.model_dump(exclude={"deadline_s"}),
        created_at=created_at,
        deadline_at=accepted.job.deadline_at,
        tasks_before=0,
        times=(
            StageTimes(stage="text", ready_at=accepted.job.times[0].ready_at),
            StageTimes(stage="32"),
            StageTimes(stage="128"),
        ),
    )
    assert accepted.job.times[0].ready_at == pytest.approx(created_at, abs=0.1)
    assert accepted.job.deadline_at == pytest.approx(created_at + 60, abs=1e-5)
    assert await ledger.job(asked.id) == accepted.job


async def test_an_unknown_job_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(JobNotFound):
        await ledger.job("unknown")
    with pytest.raises(JobNotFound):
        await ledger.erase("unknown")
    assert not await ledger.cancel("unknown")


async def test_submitting_twice_is_submitting_once(ledger: Ledger, redis: Redis) -> None:
    job = a_job(owner="ann")
    accepted = await ledger.submit(job)
    again = await ledger.submit(job)
    assert (again.repeated, again.job) == (False, accepted.job)  # the client does not know of it
    assert await redis.zcard(keys.ready("text")) == 1
    assert await redis.hgetall(keys.queued()) == {b"ann": b"1", b"*": b"1"}


async def test_an_ended_job_is_kept_for_its_retention(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await ledger.submit(job)
    assert await redis.ttl(keys.job(job.id)) == -1
    await encode(queue)
    await draw(queue)
    assert 0 < await redis.ttl(keys.job(job.id)) <= queue_settings.retention_s


@ends
async def test_whatever_ends_a_job_takes_all_of_its_tasks_at_once(
    ledger: Ledger, queue: Queue, redis: Redis, watcher: JobWatcher, end: End
) -> None:
    """Six images: one is done; at both diffusion stages some are held and some are ready."""
    job = a_job(n=6, owner="ann", deadline_s=600.0, webhook=WEBHOOK)
    await ledger.submit(job)
    waiting = asyncio.create_task(watcher.wait(job.id, timeout_s=30))
    await encode(queue)
    assert await draw(queue)
    lower, upper = await queue.claim("w1", "32", count=2)
    assert await queue.commit(upper, "w1", b"pixels", "128")
    upper = await claim_one(queue, "w1", "128")
    moved = await claim_one(queue, "w1", "32")
    assert await queue.commit(moved, "w1", b"pixels", "128")

    expected = await end(ledger, redis, job)

    assert (await waiting).status is expected
    for stage in STAGES:
        assert await redis.exists(keys.ready(stage), keys.held(stage)) == 0
    for key in (keys.deadlines(), keys.queued(), keys.artifacts(job.id)):
        assert await redis.exists(key) == 0
    assert not await queue.commit(lower, "w1", b"pixels", "128")
    assert await queue.finish(upper, "w1", an_image(upper)) is Effect.UNWANTED
    assert await redis.zrange(keys.webhooks(), 0, -1) == [job.id.encode()]
    ended = await ledger.job(job.id)
    assert ended.status is expected
    assert ended.finished_at is not None
    assert [image.index for image in ended.images] == ([] if end is by_erase else [0])
    assert await leaked_keys(redis) == []


@ends
async def test_a_job_that_has_ended_stays_as_it_is(
    ledger: Ledger, queue: Queue, redis: Redis, end: End
) -> None:
    job = a_job(n=2, deadline_s=600.0)
    await ledger.submit(job)
    await encode(queue)
    await end(ledger, redis, job)
    ended = await ledger.job(job.id)
    assert not await ledger.cancel(job.id)
    assert await ledger.expire() is None
    assert await ledger.job(job.id) == ended
    await ledger.erase(job.id)
    assert (await ledger.job(job.id)).status is ended.status


async def test_a_canceled_job_that_no_one_has_begun_was_never_running(ledger: Ledger) -> None:
    job = a_job()
    await ledger.submit(job)
    await ledger.cancel(job.id)
    canceled = await ledger.job(job.id)
    assert (canceled.started_at, canceled.error) == (None, None)


async def test_the_end_of_one_job_leaves_another_alone(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    gone, stays = a_job(n=2, owner="ann"), a_job(n=2, owner="ann")
    for job in (gone, stays):
        await ledger.submit(job)
        await encode(queue)
    await ledger.cancel(gone.id)
    assert await redis.hgetall(keys.queued()) == {b"ann": b"2", b"*": b"2"}
    assert await draw(queue)
    assert await draw(queue)
    assert (await ledger.job(stays.id)).status is JobStatus.SUCCEEDED


async def test_an_erased_job_has_neither_prompt_nor_image(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job("my secret", "not this", n=2)
    await ledger.submit(job)
    await encode(queue)
    await draw(queue)
    await ledger.erase(job.id)
    erased = await ledger.job(job.id)
    assert (erased.status, erased.erased, erased.images) == (JobStatus.CANCELED, True, ())
    assert (erased.parameters.prompt, erased.parameters.negative_prompt) == ("", "")
    assert erased.parameters.seed == job.parameters.seed
    record = await redis.hgetall(keys.job(job.id))
    assert not any(b"my secret" in value or b"not this" in value for value in record.values())
    assert await redis.ttl(keys.job(job.id)) > 0


async def test_an_erased_job_that_had_succeeded_stays_so_and_as_long(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    await draw(queue)
    await redis.expire(keys.job(job.id), 60)
    await ledger.erase(job.id)
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED
    assert 0 < await redis.ttl(keys.job(job.id)) <= 60


async def test_an_expired_job_says_so(ledger: Ledger, redis: Redis) -> None:
    job = a_job(deadline_s=600.0)
    await ledger.submit(job)
    await past_its_deadline(redis, job)
    await ledger.expire()
    expired = await ledger.job(job.id)
    assert expired.error is not None
    assert (expired.status, expired.error.code) == (JobStatus.EXPIRED, "deadline_passed")


async def test_expiry_tells_when_the_next_deadline_is(ledger: Ledger, redis: Redis) -> None:
    assert await ledger.expire() is None
    await ledger.submit(a_job())
    assert await ledger.expire() is None
    for deadline_s in (500.0, 600.0):
        await ledger.submit(a_job(deadline_s=deadline_s))
    wait_s = await ledger.expire()
    assert wait_s is not None
    assert 400 < wait_s <= 500


async def test_more_than_a_batch_of_jobs_may_expire_at_once(ledger: Ledger, redis: Redis) -> None:
    jobs = [a_job(deadline_s=600.0) for _ in range(150)]
    for job in jobs:
        await ledger.submit(job)
        await past_its_deadline(redis, job)
    assert await ledger.expire() == 0
    assert await ledger.expire() is None
    for job in jobs:
        assert (await ledger.job(job.id)).status is JobStatus.EXPIRED


async def test_text_that_is_late_is_not_encoded(ledger: Ledger, queue: Queue, redis: Redis) -> None:
    late, in_time = a_job(deadline_s=600.0), a_job(deadline_s=600.0)
    await ledger.submit(late)
    await ledger.submit(in_time)
    await past_its_deadline(redis, late)
    assert [task.job_id for task in await queue.claim("w1", "text", count=2)] == [in_time.id]
    assert (await ledger.job(late.id)).status is JobStatus.EXPIRED


async def test_a_webhook_is_due_at_the_end_and_not_before(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    failing, silent = a_job(webhook=WEBHOOK), a_job()
    for job in (failing, silent):
        await ledger.submit(job)
    assert await redis.exists(keys.webhooks()) == 0
    for task in await queue.claim("w1", "text", count=2):
        assert await queue.fail(task, "w1", FAILURE)
    assert await redis.zrange(keys.webhooks(), 0, -1) == [failing.id.encode()]
    assert await queue.missing_embeddings(ENCODER, ["a red apple"]) == ["a red apple"]


async def test_redis_without_its_scripts_is_sent_them_again(ledger: Ledger, redis: Redis) -> None:
    await ledger.submit(a_job())
    await redis.script_flush()
    await ledger.submit(a_job())
    assert await redis.zcard(keys.ready("text")) == 2
