"""A worker with one lane that is told what to do, on a real queue."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from tests.workers.tiny_jobs import a_tiny_job
from workers.jobs import keys
from workers.jobs.announcements import listening
from workers.jobs.card import CascadeCard, StageCard, WorkerCard
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.job import TEXT_STAGE, Job, JobError, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.jobs.watcher import JobWatcher
from workers.lane import Outcome
from workers.settings import WorkerSettings
from workers.worker import Worker, new_worker_name

CARD = CascadeCard(
    name="none",
    text_encoder="none",
    max_prompt_chars=99,
    max_prompt_tokens=9,
    stages=(
        StageCard(
            name="8",
            size=8,
            multiple=2,
            steps=1,
            max_steps=9,
            guidance_scale=1.0,
            max_guidance_scale=9.0,
            sampler="ddim",
            samplers=("ddim",),
        ),
    ),
    max_images=1,
    max_area_ratio=2.0,
    max_aspect_ratio=4.0,
)

DONE = JobError(code="done", message="as far as this lane goes")


class ToldLane:
    """Takes text tasks and does with them what the test says; a job that it commits fails as DONE.

    steps: the ids of the jobs that were computed together, one list for each call.
    """

    stage = TEXT_STAGE

    def __init__(self, queue: Queue, worker: str, capacity: int) -> None:
        self.taken: list[Task] = []
        self.steps: list[list[str]] = []
        self.compute_error: Exception | None = None
        self.commit_errors: list[Exception] = []
        self.leave_once = False
        self.computing = asyncio.Event()
        self.dropped = asyncio.Event()
        self.may_compute = threading.Event()
        self.may_compute.set()
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._worker = worker
        self._capacity = capacity

    @property
    def room(self) -> int:
        return self._capacity - len(self.taken)

    @property
    def has_work(self) -> bool:
        return bool(self.taken)

    async def accept(self, task: Task) -> None:
        self.taken.append(task)

    def compute(self) -> list[Outcome]:
        batch = list(self.taken)
        self.steps.append([task.job_id for task in batch])
        self._loop.call_soon_threadsafe(self.computing.set)
        self.may_compute.wait()
        if self.compute_error:
            raise self.compute_error
        done = [task for task in batch if task in self.taken]
        for task in done:
            self.taken.remove(task)
        return [Outcome(task) for task in done]

    async def commit(self, outcome: Outcome) -> None:
        if self.commit_errors:
            raise self.commit_errors.pop()
        if self.leave_once:
            self.leave_once = False
            self.taken.append(outcome.task)
            return
        await self._queue.fail(outcome.task, self._worker, DONE)

    def drop(self, unwanted: Callable[[Task], bool]) -> None:
        for task in [task for task in self.taken if unwanted(task)]:
            self.taken.remove(task)
            self.dropped.set()


class Scene:
    """A worker with one told lane, and jobs for it."""

    def __init__(
        self, redis: Redis, settings: QueueSettings, compute: Executor, capacity: int = 1
    ) -> None:
        self.redis = redis
        self.queue = Queue(redis, settings)
        self.ledger = Ledger(redis, settings)
        self.lane = ToldLane(self.queue, name := new_worker_name(), capacity)
        told = WorkerSettings.model_validate({"grace_s": 30, **settings.model_dump()})
        card = WorkerCard(name=name, stages={})
        images = FolderImageStore(settings.images_dir)
        self.worker = Worker(card, [self.lane], CARD, redis, self.queue, images, told, compute)

    async def submit(self) -> str:
        return (await self.ledger.submit(a_tiny_job())).job.id

    async def end_of(self, job_id: str) -> Job:
        watcher = JobWatcher(self.ledger)
        async with listening(self.redis, {keys.ended(): watcher.bells.ring}):
            job = await watcher.wait(job_id, timeout_s=20)
        assert job.status.terminal
        return job

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The worker runs; what ends it by itself is raised."""
        running = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.lane.may_compute.set()
            self.worker.stop()
            await running
