"""The worker's loops, with a lane that is told what to do and a real queue."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import Executor

import pytest
from redis.asyncio import Redis

from workers.compute import compute_thread
from workers.jobs.card import CascadeCard, StageCard, WorkerCard
from workers.jobs.events import JobWatcher
from workers.jobs.job import TEXT_STAGE, JobError, JobParameters, StageParameters, Task
from workers.jobs.queue import Queue
from workers.jobs.record import new_job
from workers.jobs.settings import QueueSettings
from workers.lane import Outcome
from workers.settings import WorkerSettings
from workers.worker import Worker, new_worker_name

STAGE = StageCard(
    name="8",
    size=8,
    multiple=2,
    steps=1,
    max_steps=9,
    guidance_scale=1.0,
    max_guidance_scale=9.0,
    sampler="ddim",
    samplers=("ddim",),
)
CARD = CascadeCard(
    name="none",
    text_encoder="none",
    max_prompt_chars=99,
    max_prompt_tokens=9,
    stages=(STAGE,),
    max_images=1,
    max_area_ratio=2.0,
    max_aspect_ratio=4.0,
)


class ToldLane:
    """Takes text tasks and does with them what the test says."""

    stage = TEXT_STAGE

    def __init__(self, queue: Queue, worker: str) -> None:
        self.taken: list[Task] = []
        self.compute_error: Exception | None = None
        self.commit_error: Exception | None = None
        self.computing = asyncio.Event()
        self.may_compute = threading.Event()
        self.may_compute.set()
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._worker = worker

    @property
    def room(self) -> int:
        return 1 - len(self.taken)

    @property
    def has_work(self) -> bool:
        return bool(self.taken)

    async def accept(self, task: Task) -> None:
        self.taken.append(task)

    def compute(self) -> list[Outcome]:
        self._loop.call_soon_threadsafe(self.computing.set)
        self.may_compute.wait()
        if self.compute_error:
            raise self.compute_error
        return [Outcome(self.taken.pop(), None)]

    async def commit(self, outcome: Outcome) -> None:
        if self.commit_error:
            raise self.commit_error
        done = JobError(code="done", message="as far as this lane goes")
        await self._queue.fail(outcome.task, self._worker, done)

    async def fail_all(self, error: JobError) -> None:
        while self.taken:
            await self._queue.fail(self.taken.pop(), self._worker, error)


class Scene:
    """A worker with one told lane, and a job for it."""

    def __init__(self, redis: Redis, settings: QueueSettings, compute: Executor) -> None:
        self.queue = Queue(redis, settings)
        self.compute = compute
        name = new_worker_name()
        self.lane = ToldLane(self.queue, name)
        told = WorkerSettings.model_validate(settings.model_dump())
        card = WorkerCard(name=name, stages={})
        self.worker = Worker(card, [self.lane], CARD, self.queue, told, compute)

    async def submit(self) -> str:
        square = {"width": 8, "height": 8}
        stage = StageParameters(name="8", **square, steps=1, guidance_scale=1.0, sampler="ddim")
        job = new_job(JobParameters(prompt="a cat", size=8, **square, seed=0, stages=(stage,)))
        await self.queue.submit(job)
        return job.id


@pytest.fixture
async def scene(redis: Redis, queue_settings: QueueSettings) -> AsyncGenerator[Scene]:
    with compute_thread() as compute:
        yield Scene(redis, queue_settings, compute)


async def test_a_step_that_fails_fails_its_jobs_and_the_worker_goes_on(
    scene: Scene, redis: Redis
) -> None:
    scene.lane.compute_error = ArithmeticError("too many apples")
    running = asyncio.create_task(scene.worker.run())
    async with JobWatcher(redis, scene.queue) as watcher:
        job = await watcher.wait(await scene.submit(), timeout_s=20)
        assert job.error == JobError(code="stage_failed", message="stage text: too many apples")
        scene.lane.compute_error = None
        job = await watcher.wait(await scene.submit(), timeout_s=20)
        assert job.error is not None
        assert job.error.code == "done"
    scene.worker.stop()
    await running


async def test_a_commit_that_fails_by_a_bug_ends_the_worker_and_loses_no_task(
    scene: Scene, redis: Redis, queue_settings: QueueSettings
) -> None:
    scene.lane.commit_error = RuntimeError("a bug")
    job_id = await scene.submit()
    with pytest.raises(RuntimeError, match="a bug"):
        await scene.worker.run()
    other = Scene(redis, queue_settings, scene.compute)
    running = asyncio.create_task(other.worker.run())
    async with JobWatcher(redis, other.queue) as watcher:
        assert (await watcher.wait(job_id, timeout_s=20)).status.terminal
    other.worker.stop()
    await running


async def test_the_event_loop_lives_while_a_step_computes(scene: Scene) -> None:
    scene.lane.may_compute.clear()
    await scene.submit()
    running = asyncio.create_task(scene.worker.run())
    await scene.lane.computing.wait()  # would never come, were the loop blocked
    scene.worker.stop()
    assert not running.done()
    scene.lane.may_compute.set()
    await running


async def test_what_a_vanished_worker_held_is_taken_over(
    scene: Scene, redis: Redis, queue_settings: QueueSettings
) -> None:
    job_id = await scene.submit()
    (task,) = await scene.queue.claim("gone", TEXT_STAGE, count=1, block_s=1)
    assert task.job_id == job_id  # held by a worker without a heartbeat
    running = asyncio.create_task(scene.worker.run())
    async with JobWatcher(redis, scene.queue) as watcher:
        assert (await watcher.wait(job_id, timeout_s=20)).status.terminal
    scene.worker.stop()
    await running
