"""The life of a job through the queue, and every way a commit is refused."""

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    ENCODER,
    FAILURE,
    a_job,
    alive_since_long,
    an_image,
    claim_one,
    draw,
    encode,
)
from workers.jobs import keys
from workers.jobs.job import JobError, JobStatus, Priority, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue

STAGES = ("text", "32", "128")


async def test_a_job_goes_from_prompt_to_images(ledger: Ledger, queue: Queue, redis: Redis) -> None:
    job = a_job(n=2)
    await ledger.submit(job)
    assert await encode(queue)
    assert (await ledger.job(job.id)).status is JobStatus.QUEUED
    assert await draw(queue)
    running = await ledger.job(job.id)
    assert running.status is JobStatus.RUNNING
    assert running.started_at is not None
    assert [image.index for image in running.images] == [0]
    assert await draw(queue)

    done = await ledger.job(job.id)
    assert (done.status, done.error) == (JobStatus.SUCCEEDED, None)
    assert [image.seed for image in done.images] == [7, 8]
    assert done.finished_at is not None
    assert done.started_at == running.started_at
    assert done.finished_at >= running.started_at >= done.created_at
    for stage in STAGES:
        assert await redis.exists(keys.ready(stage), keys.held(stage)) == 0
    assert await redis.exists(keys.artifacts(job.id)) == 0


async def test_a_job_runs_from_the_first_claim_of_an_image(ledger: Ledger, queue: Queue) -> None:
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    await claim_one(queue, "w1", "32")
    assert (await ledger.job(job.id)).status is JobStatus.RUNNING


async def test_images_are_counted_until_they_are_done(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await ledger.submit(a_job(n=2, owner="ann", priority=Priority.HIGH))
    await ledger.submit(a_job(n=3, owner="bob"))
    assert await redis.hgetall(keys.queued()) == {b"ann": b"2", b"bob": b"3", b"*": b"5"}
    await encode(queue)
    await draw(queue)
    assert await redis.hgetall(keys.queued()) == {b"ann": b"1", b"bob": b"3", b"*": b"4"}
    await draw(queue)
    assert await redis.hgetall(keys.queued()) == {b"bob": b"3", b"*": b"3"}


async def test_a_task_carries_what_the_worker_needs(ledger: Ledger, queue: Queue) -> None:
    job = a_job(n=2)
    await ledger.submit(job)
    text = await claim_one(queue, "w1", "text")
    assert (text.job_id, text.deliveries, text.parameters) == (job.id, 1, job.parameters)
    with pytest.raises(ValueError, match="text"):
        _ = text.image
    assert await queue.commit_text(text, "w1", ENCODER, {"a red apple": b"apple", "": b"none"})

    base = await queue.claim("w1", "32", count=8)
    assert [task.image for task in base] == [0, 1]
    inputs = await queue.inputs(base[0])
    assert (inputs.prompt_embedding, inputs.negative_embedding) == (b"apple", b"none")
    assert inputs.artifact is None

    assert await queue.commit(base[0], "w1", b"pixels", "128")
    upper = await claim_one(queue, "w1", "128")
    assert (upper.image, (await queue.inputs(upper)).artifact) == (0, b"pixels")


async def test_no_task_is_no_error(queue: Queue) -> None:
    for stage in STAGES:
        assert await queue.claim("w1", stage, count=4) == []


async def test_two_workers_never_claim_the_same_task(ledger: Ledger, queue: Queue) -> None:
    for _ in range(3):
        await ledger.submit(a_job())
    first = await queue.claim("w1", "text", count=2)
    second = await queue.claim("w2", "text", count=2)
    assert len(first) == 2
    assert len(second) == 1
    assert len({task.job_id for task in first + second}) == 3


async def test_a_commit_has_one_effect_however_often_it_is_sent(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job(n=2)
    await ledger.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    assert await queue.commit(task, "w1", b"pixels", "128")
    assert not await queue.commit(task, "w1", b"other pixels", "128")
    assert await redis.zcard(keys.ready("128")) == 1

    task = await claim_one(queue, "w1", "128")
    assert (await queue.inputs(task)).artifact == b"pixels"
    assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
    assert await queue.finish(task, "w1", an_image(task)) is Effect.REFUSED
    assert (await ledger.job(job.id)).status is JobStatus.RUNNING
    assert await redis.hgetall(keys.queued()) == {b"": b"1", b"*": b"1"}


async def refuses_everything(queue: Queue, task: Task) -> bool:
    """Whether no result of this delivery counts, whatever the result."""
    if task.stage == "text":
        given = {"a red apple": b"stale", "": b"stale"}
        return not (
            await queue.commit_text(task, "w1", ENCODER, given)
            or await queue.fail(task, "w1", FAILURE)
        )
    return not (
        await queue.commit(task, "w1", b"stale pixels", "128")
        or await queue.finish(task, "w1", an_image(task)) is Effect.DONE
        or await queue.fail(task, "w1", FAILURE)
    )


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("later", ["w1", "w2"])
async def test_the_fence_refuses_an_older_delivery(
    ledger: Ledger, queue: Queue, redis: Redis, stage: str, later: str
) -> None:
    """Also of the same worker, and also after it was handed back and counts no more."""
    job = a_job()
    await ledger.submit(job)
    if stage != "text":
        await encode(queue)
    if stage == "128":
        task = await claim_one(queue, "w1", "32")
        assert await queue.commit(task, "w1", b"pixels", "128")
    await alive_since_long(redis, "w3")
    stale = [await claim_one(queue, "w1", stage)]
    await queue.reclaim("w3", stage)
    stale.append(await claim_one(queue, "w1", stage))
    await queue.hand_back("w1", [stale[1]])
    current = await claim_one(queue, later, stage)
    for task in stale:
        assert await refuses_everything(queue, task)
    if stage == "128":
        assert (await queue.inputs(current)).artifact == b"pixels"
    await queue.hand_back(later, [current])
    if stage == "text":
        assert await encode(queue)
    if stage == "128":
        task = await claim_one(queue, "w1", "128")
        assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
    else:
        assert await draw(queue)
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED


async def test_the_fence_refuses_everyone_once_redis_has_forgotten(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await ledger.submit(a_job())
    text = await claim_one(queue, "w1", "text")
    await ledger.submit(a_job())
    await encode(queue)
    base = await claim_one(queue, "w1", "32")
    await redis.flushall()
    assert await refuses_everything(queue, text)
    assert await refuses_everything(queue, base)
    # No one can tell whether it was recorded: it must not be taken away.
    assert await queue.finish(base, "w1", an_image(base)) is Effect.REFUSED


async def test_an_image_that_another_recorded_is_wanted(ledger: Ledger, queue: Queue) -> None:
    """Its file is in the store under the same name: who comes late must not take it away."""
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    assert await queue.commit(task, "w1", b"pixels", "128")
    task = await claim_one(queue, "w1", "128")
    assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED
    assert await queue.finish(task, "w1", an_image(task)) is Effect.REFUSED
    await ledger.erase(job.id)
    assert await queue.finish(task, "w1", an_image(task)) is Effect.UNWANTED


async def test_without_its_text_a_job_has_failed(ledger: Ledger, queue: Queue) -> None:
    job = a_job(n=3)
    await ledger.submit(job)
    assert await queue.fail(await claim_one(queue, "w1", "text"), "w1", FAILURE)
    failed = await ledger.job(job.id)
    assert (failed.status, failed.error, failed.images) == (JobStatus.FAILED, FAILURE, ())


async def test_beside_a_failed_image_the_others_are_drawn(ledger: Ledger, queue: Queue) -> None:
    job = a_job(n=3)
    await ledger.submit(job)
    await encode(queue)
    blamed = await claim_one(queue, "w1", "32")
    error = JobError(code="not_finite", message="image 0 became NaN at step 3", image=0)
    assert await queue.fail(blamed, "w1", error)
    for _ in range(2):
        going_on = await ledger.job(job.id)
        assert (going_on.status, going_on.error) == (JobStatus.RUNNING, error)
        assert await draw(queue)
    failed = await ledger.job(job.id)
    assert (failed.status, failed.error) == (JobStatus.FAILED, error)
    assert [image.index for image in failed.images] == [1, 2]


async def test_the_first_failure_is_told(ledger: Ledger, queue: Queue) -> None:
    job = a_job(n=2)
    await ledger.submit(job)
    await encode(queue)
    for code, task in zip(("first", "second"), await queue.claim("w1", "32", count=2), strict=True):
        assert await queue.fail(task, "w1", JobError(code=code, message="on purpose"))
    failed = await ledger.job(job.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "first")
    assert failed.error.image == 0
