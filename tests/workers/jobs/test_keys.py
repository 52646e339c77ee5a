"""What goes away, and the check that finds what does not."""

from redis.asyncio import Redis

from tests.valkey import leaked_keys
from tests.workers.jobs.conftest import a_job, draw, encode
from workers.jobs import keys
from workers.jobs.queue import Queue


async def test_a_key_that_stays_after_every_job_has_ended_is_a_leak(
    queue: Queue, redis: Redis
) -> None:
    await queue.submit(a_job())
    await encode(queue)
    assert await leaked_keys(redis) == []  # a job lives: it may still delete what it needs
    await draw(queue)
    assert await leaked_keys(redis) == []
    forgotten = keys.artifacts("forgotten")
    await redis.hset(forgotten, keys.artifact_field(0, "32"), b"pixels")
    assert await leaked_keys(redis) == [forgotten]
    await redis.delete(forgotten)


def test_embeddings_are_shared_by_encoder_and_prompt_alone() -> None:
    assert keys.embedding("encoder", "a cat") == keys.embedding("encoder", "a cat")
    others = {
        keys.embedding("encoder", "a dog"),
        keys.embedding("encoder-2", "a cat"),
        keys.embedding("encoder", "a cat "),
    }
    assert len(others | {keys.embedding("encoder", "a cat")}) == 4
