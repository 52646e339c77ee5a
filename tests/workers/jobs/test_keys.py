"""What goes away, and the check that finds what does not."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.valkey import leaked_keys
from tests.workers.jobs.conftest import a_job, an_image, claim_one, draw, encode
from workers.jobs import keys
from workers.jobs.admission import Quotas, RequestKey
from workers.jobs.events import JobEvents
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue

GONE = "00000000"
"""A job that has ended or never was."""


async def test_a_job_and_what_it_needs_is_no_leak(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    quotas = Quotas(queued=10, owner_queued=10, owner_per_minute=10)
    request_key = RequestKey(key="one", fingerprint="0123abcd")
    await ledger.submit(a_job(n=3, deadline_s=600.0, owner="ann"), quotas, request_key)
    assert await leaked_keys(redis) == []
    await encode(queue)
    assert await leaked_keys(redis) == []
    await draw(queue)
    task = await claim_one(queue, "w1", "32")
    await queue.commit(task, "w1", b"pixels", "128")
    await claim_one(queue, "w1", "32")
    assert await leaked_keys(redis) == []
    await draw_the_rest(queue)
    assert await leaked_keys(redis) == []


async def draw_the_rest(queue: Queue) -> None:
    await queue.hand_back("w1", queue.held("w1"))
    task = await claim_one(queue, "w1", "32")
    await queue.commit(task, "w1", b"pixels", "128")
    for task in await queue.claim("w1", "128", count=2):
        await queue.finish(task, "w1", an_image(task))


LEAKS: dict[str, Callable[[Redis], Awaitable[object]]] = {
    keys.ready("32"): lambda redis: redis.zadd(keys.ready("32"), {f"{GONE}:0": 1}),
    keys.held("32"): lambda redis: redis.hset(keys.held("32"), f"{GONE}:0", "w1/1"),
    keys.artifacts(GONE): lambda redis: redis.hset(keys.artifacts(GONE), "0:32", "pixels"),
    keys.embedding("encoder", "a cat"): lambda redis: redis.hset(
        keys.embedding("encoder", "a cat"), mapping={"value": "apple", keys.job(GONE): "1"}
    ),
    keys.deadlines(): lambda redis: redis.zadd(keys.deadlines(), {GONE: 1}),
    keys.queued(): lambda redis: redis.hset(keys.queued(), "ann", "1"),
    keys.idempotency("ann", "one"): lambda redis: redis.set(
        keys.idempotency("ann", "one"), f"0123abcd {GONE}"
    ),
    keys.webhooks(): lambda redis: redis.zadd(keys.webhooks(), {GONE: 1}),
    keys.rate("ann"): lambda redis: redis.set(keys.rate("ann"), "1"),
    keys.share("ann"): lambda redis: redis.hset(keys.share("ann"), "normal", "1"),
    keys.jobs("ann"): lambda redis: redis.zadd(keys.jobs("ann"), {GONE: 1}),
    keys.previews(GONE): lambda redis: redis.xadd(keys.previews(GONE), {"png": ""}),
    keys.events(GONE): lambda redis: redis.xadd(keys.events(GONE), {"kind": "end"}),
    keys.clock(): lambda redis: redis.hset(keys.clock(), "normal", "1"),
    keys.worker("w1"): lambda redis: redis.set(keys.worker("w1"), "1"),
    keys.card(): lambda redis: redis.set(keys.card(), "{}"),
    keys.workers(): lambda redis: redis.zadd(keys.workers(), {"{}": 1}),
    "another": lambda redis: redis.set("another", "1"),
}


@pytest.mark.parametrize("key", LEAKS)
@pytest.mark.parametrize("living", [False, True], ids=["no job lives", "a job lives"])
async def test_what_stays_for_no_living_job_is_a_leak(
    ledger: Ledger, redis: Redis, key: str, living: bool
) -> None:
    if living:
        await ledger.submit(a_job(owner="bob"))
    await LEAKS[key](redis)
    assert await leaked_keys(redis) == [key]
    await redis.flushall()


async def test_events_that_stay_are_a_leak_though_their_job_lives(
    ledger: Ledger, redis: Redis, events: JobEvents
) -> None:
    job = a_job()
    await ledger.submit(job)
    await events.look(job.id)
    assert await leaked_keys(redis) == []
    for key in (keys.events(job.id), keys.previews(job.id)):
        await redis.persist(key)
        assert await leaked_keys(redis) == [key]
        await redis.expire(key, 60)


async def test_a_record_that_stays_after_its_end_is_a_leak(ledger: Ledger, redis: Redis) -> None:
    job = a_job()
    await ledger.submit(job)
    await ledger.cancel(job.id)
    await redis.persist(keys.job(job.id))
    assert await leaked_keys(redis) == [keys.job(job.id)]
    await redis.expire(keys.job(job.id), 60)


def test_embeddings_are_shared_by_encoder_and_prompt_alone() -> None:
    assert keys.embedding("encoder", "a cat") == keys.embedding("encoder", "a cat")
    others = {
        keys.embedding("encoder", "a dog"),
        keys.embedding("encoder-2", "a cat"),
        keys.embedding("encoder", "a cat "),
    }
    assert len(others | {keys.embedding("encoder", "a cat")}) == 4


def test_a_request_key_is_its_owners() -> None:
    assert keys.idempotency("ann", "one") == keys.idempotency("ann", "one")
    assert keys.idempotency("ann", "one") != keys.idempotency("bob", "one")
    assert keys.idempotency("ann", "one") != keys.idempotency("ann", "two")
