"""The life of a job through the queue, and every way a commit is refused."""

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import ENCODER, a_job, an_image, claim_one, draw, encode
from workers.jobs import keys
from workers.jobs.errors import InputExpired, JobNotFound
from workers.jobs.job import JobError, JobStatus
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings


async def test_a_job_goes_from_prompt_to_images(queue: Queue, redis: Redis) -> None:
    job = a_job(n=2)
    await queue.submit(job)
    assert await queue.job(job.id) == job

    assert await encode(queue)
    running = await queue.job(job.id)
    assert running.status is JobStatus.RUNNING
    assert running.started_at is not None

    assert await draw(queue)
    assert [image.index for image in (await queue.job(job.id)).images] == [0]
    assert await draw(queue)

    done = await queue.job(job.id)
    assert done.status is JobStatus.SUCCEEDED
    assert [image.seed for image in done.images] == [7, 8]
    assert done.finished_at is not None
    assert done.started_at is not None
    assert done.finished_at >= done.started_at
    assert await redis.exists(keys.artifacts(job.id)) == 0
    for stage in ("text", "32", "128"):
        assert await redis.xlen(keys.stream(stage)) == 0


async def test_an_unknown_job_is_not_found(queue: Queue) -> None:
    with pytest.raises(JobNotFound):
        await queue.job("unknown")


async def test_submitting_twice_is_submitting_once(queue: Queue, redis: Redis) -> None:
    job = a_job()
    await queue.submit(job)
    await queue.submit(job)
    assert await redis.xlen(keys.stream("text")) == 1


async def test_a_task_carries_what_the_worker_needs(queue: Queue) -> None:
    job = a_job(n=2)
    await queue.submit(job)
    text = await claim_one(queue, "w1", "text")
    assert (text.job_id, text.image, text.deliveries) == (job.id, None, 1)
    assert text.parameters == job.parameters
    assert await queue.commit_text(text, "w1", ENCODER, {"a red apple": b"apple", "": b"none"})

    base = await queue.claim("w1", "32", count=8, block_s=0)
    assert [task.image for task in base] == [0, 1]
    inputs = await queue.inputs(base[0])
    assert (inputs.prompt_embedding, inputs.negative_embedding) == (b"apple", b"none")
    assert inputs.artifact is None

    assert await queue.commit(base[0], "w1", b"pixels", "128")
    upper = await claim_one(queue, "w1", "128")
    assert (upper.image, (await queue.inputs(upper)).artifact) == (0, b"pixels")


async def test_a_claim_waits_for_the_first_task(queue: Queue) -> None:
    assert await queue.claim("w1", "text", count=1, block_s=0.01) == []
    await queue.submit(a_job())
    assert len(await queue.claim("w1", "text", count=1, block_s=5)) == 1


async def test_two_workers_never_claim_the_same_task(queue: Queue) -> None:
    for _ in range(3):
        await queue.submit(a_job())
    first = await queue.claim("w1", "text", count=2, block_s=0)
    second = await queue.claim("w2", "text", count=2, block_s=0)
    assert len(first) == 2
    assert len(second) == 1
    assert len({task.job_id for task in first + second}) == 3


async def test_a_commit_has_one_effect_however_often_it_is_sent(queue: Queue, redis: Redis) -> None:
    job = a_job(n=2)
    await queue.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    assert await queue.commit(task, "w1", b"pixels", "128")
    assert not await queue.commit(task, "w1", b"other pixels", "128")
    assert await redis.xlen(keys.stream("128")) == 1

    task = await claim_one(queue, "w1", "128")
    assert (await queue.inputs(task)).artifact == b"pixels"
    assert await queue.finish(task, "w1", an_image(task))
    assert not await queue.finish(task, "w1", an_image(task))
    assert (await queue.job(job.id)).status is JobStatus.RUNNING


async def test_the_fence_refuses_who_does_not_own_the_task(queue: Queue, redis: Redis) -> None:
    job = a_job()
    await queue.submit(job)
    text = await claim_one(queue, "w1", "text")
    given = {"a red apple": b"apple", "": b"none"}
    assert not await queue.commit_text(text, "w2", ENCODER, given)
    assert await queue.commit_text(text, "w1", ENCODER, given)

    base = await claim_one(queue, "w1", "32")
    assert not await queue.commit(base, "w2", b"pixels", "128")
    assert not await queue.fail(base, "w2", JobError(code="nan", message="not a number"))
    assert await queue.commit(base, "w1", b"pixels", "128")

    upper = await claim_one(queue, "w1", "128")
    assert not await queue.finish(upper, "w2", an_image(upper))
    assert (await queue.job(job.id)).status is JobStatus.RUNNING


async def test_the_fence_refuses_everyone_once_redis_has_forgotten(
    queue: Queue, redis: Redis
) -> None:
    await queue.submit(a_job())
    task = await claim_one(queue, "w1", "text")
    await redis.flushall()
    assert not await queue.commit_text(task, "w1", ENCODER, {"a red apple": b"a", "": b"b"})


async def test_a_failed_job_says_why_and_drops_its_other_tasks(queue: Queue, redis: Redis) -> None:
    job = a_job(n=3)
    await queue.submit(job)
    await encode(queue)
    blamed, neighbour = await queue.claim("w1", "32", count=2, block_s=0)
    error = JobError(code="not_finite", message="image 0 became NaN at step 3")
    assert await queue.fail(blamed, "w1", error)

    failed = await queue.job(job.id)
    assert (failed.status, failed.error) == (JobStatus.FAILED, error)
    assert not await queue.commit(neighbour, "w1", b"pixels", "128")
    assert await queue.claim("w1", "32", count=1, block_s=0) == []
    assert await redis.xlen(keys.stream("32")) == 0
    assert await redis.xlen(keys.stream("128")) == 0


async def test_a_terminal_state_is_final(queue: Queue) -> None:
    job = a_job(n=2)
    await queue.submit(job)
    await encode(queue)
    first, second = await queue.claim("w1", "32", count=2, block_s=0)
    assert await queue.fail(first, "w1", JobError(code="first", message="one"))
    assert not await queue.fail(second, "w1", JobError(code="second", message="two"))
    error = (await queue.job(job.id)).error
    assert error is not None
    assert error.code == "first"


async def test_an_ended_job_is_kept_for_its_retention(
    queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await queue.submit(job)
    assert await redis.ttl(keys.job(job.id)) == -1
    await encode(queue)
    await draw(queue)
    assert 0 < await redis.ttl(keys.job(job.id)) <= queue_settings.retention_s


async def test_an_artifact_has_a_ttl_and_goes_with_the_next_commit(
    queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job(n=2)
    await queue.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    await queue.commit(task, "w1", b"pixels", "128")
    artifacts = keys.artifacts(job.id)
    assert 0 < await redis.ttl(artifacts) <= queue_settings.artifact_ttl_s
    task = await claim_one(queue, "w1", "128")
    await queue.finish(task, "w1", an_image(task))
    assert await redis.exists(artifacts) == 0


async def test_a_missing_input_is_told(
    queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await queue.submit(job)
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
    await redis.delete(keys.job(job.id))
    with pytest.raises(InputExpired, match="embedding"):
        await queue.inputs(task)


async def test_redis_without_its_scripts_is_sent_them_again(queue: Queue, redis: Redis) -> None:
    await queue.submit(a_job())
    await redis.script_flush()
    await queue.submit(a_job())
    assert await redis.xlen(keys.stream("text")) == 2


async def test_an_embedding_is_fetched_once_for_all_images_that_need_it(
    queue: Queue, redis: Redis
) -> None:
    await queue.submit(a_job(n=2))
    await encode(queue)
    first, second = await queue.claim("w1", "32", count=2, block_s=0)
    fetched = await queue.inputs(first)
    await redis.delete(keys.embedding(ENCODER, "a red apple"))
    assert (await queue.inputs(second)).prompt_embedding is fetched.prompt_embedding
