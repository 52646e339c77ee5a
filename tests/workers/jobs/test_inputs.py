"""What a diffusion task starts from: there as long as it is needed, and told where it is gone."""

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import ENCODER, a_job, an_image, claim_one, encode
from workers.jobs import keys
from workers.jobs.errors import InputExpired
from workers.jobs.job import JobError
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings


async def test_an_artifact_stays_until_the_next_commit(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """However long that takes: its job lives."""
    job = a_job(n=2)
    await ledger.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    await queue.commit(task, "w1", b"pixels", "128")
    artifacts = keys.artifacts(job.id)
    assert await redis.ttl(artifacts) == -1
    task = await claim_one(queue, "w1", "128")
    await queue.finish(task, "w1", an_image(task))
    assert await redis.exists(artifacts) == 0


async def test_a_stage_between_others_takes_its_input_away(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job()
    base, upper = job.parameters.stages
    stages = (base, upper, upper.model_copy(update={"name": "512"}))
    job = job.model_copy(
        update={"parameters": job.parameters.model_copy(update={"stages": stages})}
    )
    await ledger.submit(job)
    await encode(queue)
    for stage, next_stage in (("32", "128"), ("128", "512")):
        task = await claim_one(queue, "w1", stage)
        assert await queue.commit(task, "w1", f"pixels of {stage}".encode(), next_stage)
    last = await claim_one(queue, "w1", "512")
    assert (await queue.inputs(last)).artifact == b"pixels of 128"
    assert await redis.hkeys(keys.artifacts(job.id)) == [b"0:128"]
    assert await queue.finish(last, "w1", an_image(last)) is Effect.DONE


async def test_a_missing_input_is_told(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    await queue.commit(task, "w1", b"pixels", "128")
    task = await claim_one(queue, "w1", "128")
    await redis.delete(keys.artifacts(job.id))
    with pytest.raises(InputExpired, match="stage before"):
        await queue.inputs(task)
    await redis.delete(keys.embedding(ENCODER, "a red apple"))
    another = Queue(redis, queue_settings)  # which has not kept it
    with pytest.raises(InputExpired, match="embedding"):
        await another.inputs(task)
    assert await queue.fail(task, "w1", JobError(code="input_expired", message="too late"))
    for _ in range(2):
        with pytest.raises(InputExpired, match="ended"):
            await queue.inputs(task)
        await redis.delete(keys.job(job.id))


async def test_an_embedding_is_fetched_once_for_all_images_that_need_it(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await ledger.submit(a_job(n=2))
    await encode(queue)
    first, second = await queue.claim("w1", "32", count=2)
    fetched = await queue.inputs(first)
    await redis.delete(keys.embedding(ENCODER, "a red apple"))
    assert (await queue.inputs(second)).prompt_embedding is fetched.prompt_embedding
