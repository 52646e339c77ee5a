"""The worker's loops: what ends a task, what ends a worker, and what becomes of what it held."""

import asyncio
from concurrent.futures import Executor
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.workers.tiny_jobs import a_tiny_job
from tests.workers.told import DONE, Scene
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.job import TEXT_STAGE
from workers.jobs.settings import QueueSettings
from workers.settings import WorkerSettings
from workers.worker import StepTooLong


async def test_what_is_submitted_is_done(scene: Scene) -> None:
    async with scene.running():
        assert (await scene.end_of(await scene.submit())).error == DONE


async def test_a_step_that_raises_ends_the_worker_and_another_does_its_task(
    scene: Scene, redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    scene.lane.compute_error = ArithmeticError("the device is lost")
    job_id = await scene.submit()
    with pytest.raises(ArithmeticError, match="the device is lost"):
        await scene.worker.run()
    brief = queue_settings.model_copy(update={"lease_s": 0.2})
    other = Scene(redis, brief, compute)
    async with other.running():
        assert (await scene.end_of(job_id)).error == DONE
        assert scene.lane.steps == other.lane.steps == [[job_id]]


async def test_a_commit_that_fails_by_a_bug_ends_the_worker_and_loses_no_task(
    scene: Scene, redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    scene.lane.commit_errors = [RuntimeError("a bug")]
    job_id = await scene.submit()
    with pytest.raises(RuntimeError, match="a bug"):
        await scene.worker.run()
    brief = queue_settings.model_copy(update={"lease_s": 0.2})
    async with Scene(redis, brief, compute).running():
        assert (await scene.end_of(job_id)).error == DONE


async def test_the_event_loop_lives_while_a_step_computes(scene: Scene) -> None:
    scene.lane.may_compute.clear()
    await scene.submit()
    running = asyncio.create_task(scene.worker.run())
    await scene.lane.computing.wait()  # would never come, were the loop blocked
    scene.worker.stop()
    assert not running.done()
    scene.lane.may_compute.set()
    await running


async def test_a_worker_that_stops_commits_its_step_and_hands_back_the_rest_at_once(
    redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    patient = queue_settings.model_copy(update={"lease_s": 600.0})
    scene = Scene(redis, patient, compute, capacity=2)
    scene.lane.may_compute.clear()
    running = asyncio.create_task(scene.worker.run())
    in_step = await scene.submit()
    await scene.lane.computing.wait()
    not_begun = await scene.submit()
    async with asyncio.timeout(20):
        while len(scene.lane.taken) < 2:
            await asyncio.sleep(0)
    scene.worker.stop()
    scene.lane.may_compute.set()
    await running
    assert (await scene.ledger.job(in_step)).error == DONE
    (task,) = await scene.queue.claim("other", TEXT_STAGE, count=9)
    assert (task.job_id, task.deliveries) == (not_begun, 1)
    await scene.ledger.cancel(not_begun)


async def test_a_step_that_does_not_end_in_time_is_left_and_its_tasks_handed_back(
    redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    hasty = WorkerSettings.model_validate({**queue_settings.model_dump(), "grace_s": 0.05})
    scene = Scene(redis, hasty, compute)
    scene.lane.may_compute.clear()
    job_id = await scene.submit()
    running = asyncio.create_task(scene.worker.run())
    await scene.lane.computing.wait()
    scene.worker.stop()
    with pytest.raises(StepTooLong, match=r"longer than 0\.05 s"):
        await running
    (task,) = await scene.queue.claim("other", TEXT_STAGE, count=9)
    assert (task.job_id, task.deliveries) == (job_id, 2)  # it may be what the step hangs in
    scene.lane.may_compute.set()
    await scene.ledger.cancel(job_id)


async def test_what_a_vanished_worker_held_is_taken_over(
    redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    scene = Scene(redis, queue_settings.model_copy(update={"lease_s": 0.2}), compute)
    job_id = await scene.submit()
    (task,) = await scene.queue.claim("gone", TEXT_STAGE, count=1)
    assert task.job_id == job_id  # held by a worker without a heartbeat
    async with scene.running():
        assert (await scene.end_of(job_id)).error == DONE


async def test_a_worker_that_stops_without_redis_ends_in_time_too(
    tmp_path: Path, compute: Executor
) -> None:
    with EmbeddedQueue(tmp_path) as server:
        settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
        hasty = WorkerSettings.model_validate({**settings.model_dump(), "grace_s": 0.05})
        async with connect(settings) as client:
            scene = Scene(client, hasty, compute)
            scene.lane.may_compute.clear()
            await scene.submit()
            running = asyncio.create_task(scene.worker.run())
            await scene.lane.computing.wait()
            server.stop()
            scene.worker.stop()
            with pytest.raises(StepTooLong):
                await running
    scene.lane.may_compute.set()


async def test_work_that_a_commit_leaves_is_done(scene: Scene) -> None:
    """As the text stage's is, whose embeddings expired before they were committed."""
    scene.lane.leave_once = True
    async with scene.running():
        assert (await scene.end_of(await scene.submit())).error == DONE
    assert len(scene.lane.steps) == 2


async def test_after_a_large_batch_no_poll_is_waited_for(
    redis: Redis, queue_settings: QueueSettings, compute: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where its results are more than may be under way at once."""
    monkeypatch.setattr("workers.feeding.LONGEST_SLEEP_S", 600.0)
    monkeypatch.setattr("workers.committing.MOST", 4)
    quiet = queue_settings.model_copy(update={"lease_s": 1200.0})
    scene = Scene(redis, quiet, compute, capacity=10)
    jobs = [await scene.submit() for _ in range(30)]
    async with scene.running():
        for job_id in jobs:
            assert (await scene.end_of(job_id)).error == DONE


@pytest.mark.parametrize("how", ["cancel", "erase"])
async def test_a_job_that_ends_elsewhere_is_dropped_while_it_is_worked_on(
    scene: Scene, how: str
) -> None:
    scene.lane.may_compute.clear()
    async with scene.running():
        job_id = await scene.submit()
        await scene.lane.computing.wait()
        await getattr(scene.ledger, how)(job_id)
        await scene.lane.dropped.wait()
    assert scene.lane.taken == []


async def test_a_task_that_another_worker_has_now_is_dropped(
    redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    scene = Scene(redis, queue_settings.model_copy(update={"lease_s": 0.2}), compute)
    scene.lane.may_compute.clear()
    async with scene.running():
        job_id = await scene.submit()
        await scene.lane.computing.wait()
        (task,) = scene.lane.taken
        await redis.hset(keys.held(TEXT_STAGE), task.name, "other/2")
        await scene.lane.dropped.wait()
    assert scene.lane.taken == []
    await scene.ledger.cancel(job_id)


async def test_a_new_job_waits_for_no_poll(
    redis: Redis, queue_settings: QueueSettings, compute: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it not announced, the worker would look for it in ten minutes."""
    monkeypatch.setattr("workers.feeding.LONGEST_SLEEP_S", 600.0)
    scene = Scene(redis, queue_settings.model_copy(update={"lease_s": 1200.0}), compute)
    async with scene.running():
        await scene.end_of(await scene.submit())
        await scene.end_of((await scene.ledger.submit(a_tiny_job())).job.id)
