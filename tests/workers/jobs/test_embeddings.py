"""Embeddings are shared by (encoder, prompt), and stay while a job in flight needs them."""

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import ENCODER, FAILURE, a_job, claim_one, draw, encode
from workers.jobs import keys
from workers.jobs.errors import InputExpired
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings

APPLE = keys.embedding(ENCODER, "a red apple")


async def test_only_what_is_missing_has_to_be_encoded(ledger: Ledger, queue: Queue) -> None:
    prompts = ["a red apple", "", "a red apple"]
    assert await queue.missing_embeddings(ENCODER, prompts) == ["a red apple", ""]
    await ledger.submit(a_job())
    await encode(queue)
    assert await queue.missing_embeddings(ENCODER, prompts) == []
    assert await queue.missing_embeddings("encoder-2", prompts) == ["a red apple", ""]
    assert await queue.missing_embeddings(ENCODER, []) == []


async def test_the_last_job_that_needs_an_embedding_gives_it_a_ttl(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    for _ in range(2):
        await ledger.submit(a_job())
        await encode(queue)
    await draw(queue)
    assert await redis.ttl(APPLE) == -1
    await draw(queue)
    assert 0 < await redis.ttl(APPLE) <= queue_settings.embedding_ttl_s


async def test_a_cached_embedding_is_held_again(ledger: Ledger, queue: Queue, redis: Redis) -> None:
    await ledger.submit(a_job())
    await encode(queue)
    await draw(queue)
    await ledger.submit(a_job())
    await encode(queue)
    assert await redis.ttl(APPLE) == -1
    await draw(queue)


async def test_asking_renews_a_cached_embedding(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    await ledger.submit(a_job())
    await encode(queue)
    await draw(queue)
    await redis.expire(APPLE, 5)
    assert await queue.missing_embeddings(ENCODER, ["a red apple"]) == []
    assert await redis.ttl(APPLE) > queue_settings.embedding_ttl_s - 5


async def test_the_first_bytes_stay_so_that_all_jobs_see_the_same(
    ledger: Ledger, queue: Queue
) -> None:
    for value in (b"first", b"second"):
        await ledger.submit(a_job())
        task = await claim_one(queue, "w1", "text")
        assert await queue.commit_text(task, "w1", ENCODER, {"a red apple": value, "": b"none"})
    for task in await queue.claim("w1", "32", count=2):
        assert (await queue.inputs(task)).prompt_embedding == b"first"


async def test_a_prompt_may_be_its_own_negative(ledger: Ledger, queue: Queue, redis: Redis) -> None:
    await ledger.submit(a_job(prompt="a red apple", negative_prompt="a red apple"))
    await encode(queue)
    await draw(queue)
    assert await redis.ttl(APPLE) > 0


async def test_a_commit_without_its_embedding_changes_nothing(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job()
    await ledger.submit(job)
    task = await claim_one(queue, "w1", "text")
    with pytest.raises(InputExpired):
        await queue.commit_text(task, "w1", ENCODER, {"": b"none"})
    assert await redis.exists(keys.ready("32")) == 0
    assert await redis.hgetall(keys.held("text")) == {task.name.encode(): task.token.encode()}
    assert await queue.commit_text(task, "w1", ENCODER, {"a red apple": b"apple", "": b"none"})
    await draw(queue)
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED


async def test_a_job_that_fails_lets_its_embeddings_go(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """However it ends; the test of what is leaked looks at every key."""
    for _ in range(2):
        await ledger.submit(a_job())
        await encode(queue)
    for task in await queue.claim("w1", "32", count=2):
        assert await redis.ttl(APPLE) == -1
        assert await queue.fail(task, "w1", FAILURE)
    assert await redis.ttl(APPLE) > 0
