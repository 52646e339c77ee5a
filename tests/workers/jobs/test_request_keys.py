"""A request that comes again under its key is the job that there is, for as long as it is known."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import a_job
from workers.jobs import keys
from workers.jobs.admission import RequestKey
from workers.jobs.errors import RequestKeyReused
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.settings import QueueSettings

ONE = RequestKey(key="one", fingerprint="0123abcd")


async def test_of_many_who_submit_it_at_once_one_does(ledger: Ledger, redis: Redis) -> None:
    jobs = [a_job() for _ in range(10)]
    accepted = await asyncio.gather(*(ledger.submit(job, request_key=ONE) for job in jobs))
    assert sorted(each.repeated for each in accepted) == [False] + 9 * [True]
    assert len({each.job.id for each in accepted}) == 1
    assert await redis.zcard(keys.ready("text")) == 1


async def test_a_request_key_gives_the_same_job_also_after_its_end(ledger: Ledger) -> None:
    first = await ledger.submit(a_job(), request_key=ONE)
    again = await ledger.submit(a_job(), request_key=ONE)
    assert (again.repeated, again.job) == (True, first.job)
    await ledger.cancel(first.job.id)
    again = await ledger.submit(a_job(), request_key=ONE)
    assert (again.job.id, again.job.status) == (first.job.id, JobStatus.CANCELED)


async def test_a_request_key_is_for_one_request(ledger: Ledger, redis: Redis) -> None:
    await ledger.submit(a_job(), request_key=ONE)
    with pytest.raises(RequestKeyReused):
        await ledger.submit(
            a_job("a cat"), request_key=ONE.model_copy(update={"fingerprint": "ffff"})
        )
    assert await redis.zcard(keys.ready("text")) == 1


async def test_request_keys_of_two_owners_are_two(ledger: Ledger) -> None:
    for owner in ("ann", "bob"):
        assert not (await ledger.submit(a_job(owner=owner), request_key=ONE)).repeated


async def test_a_request_key_goes_with_the_record(
    ledger: Ledger, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = (await ledger.submit(a_job(), request_key=ONE)).job
    stored = keys.idempotency("", "one")
    assert await redis.ttl(stored) == -1
    await ledger.cancel(job.id)
    async with redis.pipeline() as pipeline:
        for key in (keys.job(job.id), stored):
            pipeline.pttl(key)
        left_ms, of_the_record = await pipeline.execute()
    assert left_ms == pytest.approx(of_the_record, abs=10)
    assert 0 < left_ms <= queue_settings.retention_s * 1000
    await redis.delete(keys.job(job.id), stored)
    assert not (await ledger.submit(a_job(), request_key=ONE)).repeated
