"""Which webhooks are due, to whom, and for how long they are tried."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import WEBHOOK, a_job
from workers.jobs import keys
from workers.jobs.job import Job, JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.outbox import JITTER, LEASE_S, PAUSES_S, Outbox
from workers.jobs.settings import QueueSettings


@pytest.fixture
def outbox(redis: Redis, queue_settings: QueueSettings) -> Outbox:
    return Outbox(redis, queue_settings)


async def end_a_job(ledger: Ledger) -> Job:
    job = a_job(webhook=WEBHOOK)
    await ledger.submit(job)
    assert await ledger.cancel(job.id)
    return await ledger.job(job.id)


@pytest.fixture
async def job(ledger: Ledger) -> Job:
    """One that has just ended, with a webhook."""
    return await end_a_job(ledger)


async def make_due(redis: Redis, job: Job) -> None:
    """As if its time had come."""
    await redis.zadd(keys.webhooks(), {job.id: 0}, xx=True)


async def due_in_s(outbox: Outbox) -> float:
    due_s = await outbox.next_due_s()
    assert due_s is not None
    return due_s


async def test_a_job_is_due_when_it_has_ended_and_if_it_has_a_webhook(
    outbox: Outbox, ledger: Ledger
) -> None:
    job, without = a_job(webhook=WEBHOOK), a_job()
    for each in (job, without):
        await ledger.submit(each)
    assert await ledger.cancel(without.id)
    assert await outbox.claim(8) == []
    assert await outbox.next_due_s() is None

    assert await ledger.cancel(job.id)
    assert await due_in_s(outbox) <= 0
    (delivery,) = await outbox.claim(8)
    assert delivery.job == await ledger.job(job.id)
    assert delivery.job.status is JobStatus.CANCELED
    assert (delivery.webhook, delivery.attempt) == (WEBHOOK, 1)


async def test_what_is_claimed_is_no_one_elses_until_the_lease_ends(
    outbox: Outbox, redis: Redis, job: Job
) -> None:
    (first,) = await outbox.claim(8)
    assert await outbox.claim(8) == []
    assert LEASE_S - 5 < await due_in_s(outbox) <= LEASE_S
    await make_due(redis, job)
    (second,) = await outbox.claim(8)
    assert (first.attempt, second.attempt) == (1, 2)


async def test_each_is_claimed_once_however_many_claim(
    outbox: Outbox, ledger: Ledger, redis: Redis, queue_settings: QueueSettings
) -> None:
    ids = [(await end_a_job(ledger)).id for _ in range(10)]
    assert [each.job.id for each in await outbox.claim(2)] == ids[:2]
    others = Outbox(redis, queue_settings)
    rest = await asyncio.gather(*(each.claim(3) for each in (outbox, others, outbox, others)))
    claimed = [delivery.job.id for deliveries in rest for delivery in deliveries]
    assert sorted(claimed) == sorted(ids[2:])


async def test_what_is_delivered_leaves_nothing_behind(
    outbox: Outbox, redis: Redis, job: Job
) -> None:
    (delivery,) = await outbox.claim(8)
    assert await outbox.end(delivery)
    assert await outbox.end(delivery)  # sent twice is sent once
    assert await redis.exists(keys.webhooks()) == 0
    assert await redis.ttl(keys.job(job.id)) > 0


async def test_who_is_late_is_refused(outbox: Outbox, redis: Redis, job: Job) -> None:
    (late,) = await outbox.claim(8)
    await make_due(redis, job)
    (current,) = await outbox.claim(8)
    assert not await outbox.end(late)
    assert not await outbox.retry(late)
    assert LEASE_S - 5 < await due_in_s(outbox) <= LEASE_S
    assert await outbox.end(current)


async def test_a_failed_attempt_is_followed_by_another_until_the_last(
    outbox: Outbox, redis: Redis, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    for attempt, pause_s in enumerate(PAUSES_S, 1):
        (delivery,) = await outbox.claim(8)
        assert delivery.attempt == attempt
        assert await outbox.retry(delivery)
        assert pause_s - 5 < await due_in_s(outbox) <= pause_s * (1 + JITTER)
        await make_due(redis, job)
    (last,) = await outbox.claim(8)
    assert not caplog.records
    assert await outbox.retry(last)
    assert f"{job.id}: given up after {len(PAUSES_S) + 1} attempts" in caplog.text
    assert await redis.exists(keys.webhooks()) == 0


async def test_there_is_no_attempt_after_the_jobs_record(
    outbox: Outbox, redis: Redis, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    (delivery,) = await outbox.claim(8)
    await redis.expire(keys.job(job.id), PAUSES_S[0] - 1)
    assert await outbox.retry(delivery)
    assert await redis.exists(keys.webhooks()) == 0
    assert "IMAGEN_RETENTION_S" in caplog.text


async def test_a_job_whose_record_is_gone_is_forgotten(
    outbox: Outbox, ledger: Ledger, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    gone, there = [await end_a_job(ledger) for _ in range(2)]
    await redis.delete(keys.job(gone.id))
    (delivery,) = await outbox.claim(8)
    assert delivery.job == there
    assert f"{gone.id}: given up, since the job's record is gone" in caplog.text
    assert await redis.exists(keys.job(gone.id)) == 0
    assert await redis.zrange(keys.webhooks(), 0, -1) == [there.id.encode()]


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_record_may_go_while_its_webhook_is_delivered(
    outbox: Outbox, redis: Redis, job: Job, delivered: bool
) -> None:
    (delivery,) = await outbox.claim(8)
    await redis.delete(keys.job(job.id))
    assert await (outbox.end(delivery) if delivered else outbox.retry(delivery))
    assert await redis.exists(keys.webhooks(), keys.job(job.id)) == 0


async def test_the_service_has_one_secret_whoever_asks_first(
    redis: Redis, queue_settings: QueueSettings
) -> None:
    outboxes = [Outbox(redis, queue_settings) for _ in range(8)]
    secrets = await asyncio.gather(*(each.service_secret() for each in outboxes))
    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 32
    assert await redis.ttl(keys.webhook_secret()) == -1
