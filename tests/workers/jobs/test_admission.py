"""Quotas: who has too much waiting is refused, whole, and told what is left and for how long."""

import asyncio
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.workers.jobs.conftest import FAILURE, a_job, claim_one, draw, encode
from workers.jobs import keys
from workers.jobs.admission import Allowance, QuotaExceeded, Quotas, RequestKey
from workers.jobs.errors import JobNotFound
from workers.jobs.job import new_job_id
from workers.jobs.ledger import Accepted, Ledger
from workers.jobs.queue import Queue

MINUTE_S = 60.0

CLOCK_ERROR_S = 0.002
"""Redis keeps the allowance in whole milliseconds, and lets in who is less than one early."""


async def refused(ledger: Ledger, quotas: Quotas, n: int = 1, owner: str = "ann") -> QuotaExceeded:
    """What a job of n images is told that has no room. It must not be there afterwards."""
    job = a_job(n=n, owner=owner)
    with pytest.raises(QuotaExceeded) as told:
        await ledger.submit(job, quotas)
    with pytest.raises(JobNotFound):
        await ledger.job(job.id)
    return told.value


async def test_without_quotas_there_is_no_end(ledger: Ledger) -> None:
    for _ in range(20):
        assert (await ledger.submit(a_job(n=8))).allowance == Allowance()


async def test_all_owners_together_may_have_so_many_images_waiting(ledger: Ledger) -> None:
    quotas = Quotas(queued=5)
    for owner, n in (("ann", 2), ("bob", 3)):
        await ledger.submit(a_job(n=n, owner=owner), quotas)
    told = await refused(ledger, quotas, owner="cat")
    assert (told.quota, told.wait_s) == ("queued", None)


async def test_an_owner_may_have_so_many_images_waiting(ledger: Ledger, redis: Redis) -> None:
    quotas = Quotas(queued=100, owner_queued=4)
    accepted = await ledger.submit(a_job(n=3, owner="ann"), quotas)
    assert accepted.allowance == Allowance(queued_left=1)
    told = await refused(ledger, quotas, n=2)
    assert (told.quota, told.wait_s, told.allowance.queued_left) == ("owner_queued", None, 1)
    assert (await ledger.submit(a_job(n=4, owner="bob"), quotas)).allowance.queued_left == 0
    assert (await ledger.submit(a_job(owner="ann"), quotas)).allowance.queued_left == 0
    assert await redis.hgetall(keys.queued()) == {b"ann": b"4", b"bob": b"4", b"*": b"8"}


async def test_a_refused_job_changes_nothing(ledger: Ledger, redis: Redis) -> None:
    await ledger.submit(a_job(owner="ann"), Quotas(owner_per_minute=1))
    before = {key: await redis.dump(key) for key in await redis.keys("*")}
    for quotas in (Quotas(queued=1), Quotas(owner_queued=1), Quotas(owner_per_minute=1)):
        await refused(ledger, quotas)
    assert {key: await redis.dump(key) for key in await redis.keys("*")} == before


async def test_there_is_room_again_when_an_image_is_done_or_failed_or_its_job_has_ended(
    ledger: Ledger, queue: Queue
) -> None:
    quotas = Quotas(owner_queued=3)
    job = a_job(n=3, owner="ann")
    await ledger.submit(job, quotas)
    await refused(ledger, quotas)
    await encode(queue)
    await draw(queue)
    assert (await refused(ledger, quotas, n=2)).allowance.queued_left == 1
    assert await queue.fail(await claim_one(queue, "w1", "32"), "w1", FAILURE)
    assert (await refused(ledger, quotas, n=3)).allowance.queued_left == 2
    await ledger.cancel(job.id)
    assert (await ledger.submit(a_job(n=3, owner="ann"), quotas)).allowance.queued_left == 0


async def test_of_many_who_ask_at_once_so_many_are_accepted_as_there_is_room_for(
    ledger: Ledger, redis: Redis
) -> None:
    quotas = Quotas(queued=7)
    asked = (ledger.submit(a_job(owner=f"owner-{i}"), quotas) for i in range(30))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 23
    assert await redis.hget(keys.queued(), "*") == b"7"


async def test_who_asks_again_is_not_charged_again(ledger: Ledger, redis: Redis) -> None:
    """Nor refused: the answer to a request that was accepted is the job, however full it is."""
    quotas = Quotas(queued=1, owner_queued=1, owner_per_minute=1)
    request_key = RequestKey(key="one", fingerprint="0123abcd")
    job = a_job(owner="ann")
    first = await ledger.submit(job, quotas, request_key)
    allowance = await redis.get(keys.rate("ann"))
    for again in (job, a_job(owner="ann")):
        assert (await ledger.submit(again, quotas, request_key)).job == first.job
    assert await redis.get(keys.rate("ann")) == allowance


async def test_a_refused_request_may_come_again_under_its_key(ledger: Ledger) -> None:
    request_key = RequestKey(key="one", fingerprint="0123abcd")
    blocking = a_job(owner="ann")
    await ledger.submit(blocking, Quotas(queued=1))
    with pytest.raises(QuotaExceeded):
        await ledger.submit(a_job(owner="ann"), Quotas(queued=1), request_key)
    await ledger.cancel(blocking.id)
    assert not (await ledger.submit(a_job(owner="ann"), Quotas(queued=1), request_key)).repeated


async def later(redis: Redis, owner: str, seconds: float) -> None:
    """Lets time go by for the owner's allowance: what it says is so much nearer."""
    whole_at_ms = await redis.get(keys.rate(owner))
    if whole_at_ms is not None:
        left_ms = await redis.pttl(keys.rate(owner)) - round(seconds * 1000)
        shifted = f"{float(whole_at_ms) - seconds * 1000:.3f}"
        if left_ms > 0:
            await redis.set(keys.rate(owner), shifted, px=left_ms)
        else:
            await redis.delete(keys.rate(owner))


async def redis_time(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1e6


class Bucket:
    """An allowance in plain words: a bucket of `quota` images that fills in a minute.

    Who takes more than it holds must find it full, and leaves it in debt.
    """

    def __init__(self, quota: int, now: float) -> None:
        self.quota, self.level, self.at = quota, float(quota), now

    def level_at(self, now: float) -> float:
        return min(self.quota, self.level + (now - self.at) * self.quota / MINUTE_S)

    def wait_s(self, n: int, now: float) -> float:
        """Until n may be taken; 0 where they may be now."""
        lacking = min(n, self.quota) - self.level_at(now)
        return max(0.0, lacking * MINUTE_S / self.quota)

    def take(self, n: int, now: float) -> None:
        self.level, self.at = self.level_at(now) - n, now


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    quota=st.integers(1, 120),
    steps=st.lists(
        st.tuples(st.integers(1, 12), st.floats(0, 40) | st.sampled_from([0.0, 60.0, 600.0])),
        max_size=12,
    ),
)
async def test_an_owner_gets_so_many_a_minute(
    ledger: Ledger, redis: Redis, quota: int, steps: list[tuple[int, float]]
) -> None:
    """Against a bucket. steps: images asked for, then s that go by."""
    owner = new_job_id()
    gone_by_s = 0.0
    bucket = Bucket(quota, await redis_time(redis))
    for n, pause_s in steps:
        before = await redis_time(redis) + gone_by_s
        outcome = await ask(ledger, quota, n, owner)
        after = await redis_time(redis) + gone_by_s
        if isinstance(outcome, QuotaExceeded):
            assert outcome.wait_s is not None
            assert outcome.wait_s >= bucket.wait_s(n, after) - CLOCK_ERROR_S
            assert outcome.wait_s <= bucket.wait_s(n, before) + CLOCK_ERROR_S
        else:
            now = outcome.job.created_at + gone_by_s
            assert bucket.wait_s(n, now) <= CLOCK_ERROR_S
            bucket.take(n, now)
            left = {math.floor(bucket.level + rounding) for rounding in (-1e-4, 1e-4)}
            assert outcome.allowance.per_minute_left in {max(0, images) for images in left}
        reset_s = outcome.allowance.per_minute_reset_s
        assert reset_s is not None
        assert reset_s >= bucket.wait_s(quota, after) - CLOCK_ERROR_S
        assert reset_s <= bucket.wait_s(quota, before) + CLOCK_ERROR_S
        await later(redis, owner, pause_s)
        gone_by_s += pause_s


async def ask(ledger: Ledger, quota: int, n: int, owner: str) -> Accepted | QuotaExceeded:
    """What comes of it."""
    try:
        return await ledger.submit(a_job(n=n, owner=owner), Quotas(owner_per_minute=quota))
    except QuotaExceeded as told:
        return told


@pytest.mark.parametrize("quota", [1, 3, 7, 9, 11, 60, 600, 7001])
async def test_what_is_left_is_counted_in_whole_images(ledger: Ledger, quota: int) -> None:
    """However their share of a minute rounds."""
    accepted = await ledger.submit(a_job(owner="ann"), Quotas(owner_per_minute=quota))
    assert accepted.allowance.per_minute_left == quota - 1


async def test_a_job_of_more_than_a_minutes_is_let_in_when_all_are_there(
    ledger: Ledger, redis: Redis
) -> None:
    quotas = Quotas(owner_per_minute=4)
    accepted = await ledger.submit(a_job(n=8, owner="ann"), quotas)
    assert accepted.allowance.per_minute_left == 0
    assert accepted.allowance.per_minute_reset_s == 120
    told = await refused(ledger, quotas)
    assert told.wait_s == pytest.approx(75, abs=1)
    await later(redis, "ann", 75)
    await ledger.submit(a_job(owner="ann"), quotas)
    told = await refused(ledger, quotas, n=8)
    assert told.wait_s == pytest.approx(60, abs=1)


async def test_owners_have_a_minute_each(ledger: Ledger) -> None:
    quotas = Quotas(owner_per_minute=1)
    await ledger.submit(a_job(owner="ann"), quotas)
    await ledger.submit(a_job(owner="bob"), quotas)
    await refused(ledger, quotas)


async def test_an_allowance_that_is_whole_is_forgotten(ledger: Ledger, redis: Redis) -> None:
    accepted = await ledger.submit(a_job(owner="ann"), Quotas(owner_per_minute=2))
    reset_s = accepted.allowance.per_minute_reset_s
    assert reset_s == 30
    assert 29_000 < await redis.pttl(keys.rate("ann")) <= 30_000


async def test_who_is_refused_for_another_reason_is_not_charged(
    ledger: Ledger, redis: Redis
) -> None:
    await refused(ledger, Quotas(queued=1, owner_per_minute=5), n=2)
    await refused(ledger, Quotas(owner_queued=1, owner_per_minute=5), n=2)
    assert await redis.exists(keys.rate("ann")) == 0
