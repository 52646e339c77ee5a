"""What the tests of the queue share: a job to submit, and a worker who plays the stages."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.announcements import listening
from workers.jobs.card import CascadeCard, StageCard, StagePlace, WorkerCard
from workers.jobs.connect import connect
from workers.jobs.events import JobEvents
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.image_store import image_path
from workers.jobs.job import (
    ImageResult,
    JobError,
    JobParameters,
    NewJob,
    Priority,
    StageParameters,
    Task,
    Webhook,
)
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings
from workers.jobs.watcher import JobWatcher

ENCODER = "encoder-1"

WEBHOOK = Webhook(url="https://hooks.test/imagen", base="https://imagen.test")

FAILURE = JobError(code="test", message="on purpose")

StartHeartbeat = Callable[[str], Heartbeat]


@pytest.fixture
def ledger(redis: Redis, queue_settings: QueueSettings) -> Ledger:
    return Ledger(redis, queue_settings)


@pytest.fixture
def queue(redis: Redis, queue_settings: QueueSettings) -> Queue:
    return Queue(redis, queue_settings)


@pytest.fixture
async def watcher(redis: Redis, ledger: Ledger) -> AsyncIterator[JobWatcher]:
    watcher = JobWatcher(ledger)
    async with listening(redis, {keys.ended(): watcher.bells.ring}):
        yield watcher


@pytest.fixture
async def events(queue_settings: QueueSettings) -> AsyncIterator[JobEvents]:
    async with replica(queue_settings) as events:
        yield events


@asynccontextmanager
async def replica(settings: QueueSettings) -> AsyncGenerator[JobEvents]:
    """What an API knows of jobs: by connections of its own."""
    async with connect(settings) as redis:
        events = JobEvents(redis, settings, Ledger(redis, settings))
        async with listening(redis, {keys.happened(): events.bells.ring}):
            yield events


@pytest.fixture
def start_heartbeat(
    redis: Redis, queue_settings: QueueSettings, card: CascadeCard
) -> Iterator[StartHeartbeat]:
    """Starts a worker's heartbeat; stops those that still beat when the test is over."""
    started: list[Heartbeat] = []

    def start(worker: str) -> Heartbeat:
        heartbeat = Heartbeat(queue_settings, a_worker(worker), card)
        heartbeat.start()
        started.append(heartbeat)
        return heartbeat

    yield start
    for heartbeat in started:
        heartbeat.stop()


@pytest.fixture
def card() -> CascadeCard:
    def stage(size: int, aug_level: float | None) -> StageCard:
        return StageCard(
            name=str(size),
            size=size,
            multiple=8,
            steps=20,
            max_steps=1000,
            guidance_scale=4.0,
            max_guidance_scale=30.0,
            sampler="ddim",
            samplers=("ddim", "dpmpp"),
            aug_level=aug_level,
        )

    return CascadeCard(
        name="picture-book",
        text_encoder=ENCODER,
        max_prompt_chars=1000,
        max_prompt_tokens=64,
        stages=(stage(32, None), stage(128, 0.1)),
        max_images=8,
        max_area_ratio=2.0,
        max_aspect_ratio=4.0,
    )


def a_worker(name: str, rows: int = 16) -> WorkerCard:
    """The card of a worker that serves the base."""
    place = StagePlace(device="cuda:0", dtype="bfloat16", rows=rows, row_ms=1.5)
    return WorkerCard(name=name, stages={"32": place})


def a_job(
    prompt: str = "a red apple",
    negative_prompt: str = "",
    n: int = 1,
    *,
    steps: int = 20,
    owner: str = "",
    priority: Priority = Priority.NORMAL,
    deadline_s: float | None = None,
    webhook: Webhook | None = None,
) -> NewJob:
    """A job of two diffusion stages, not yet submitted. steps: of the first."""
    base = StageParameters(
        name="32", width=32, height=32, steps=steps, guidance_scale=4.0, sampler="dpmpp"
    )
    upper = StageParameters(
        name="128",
        width=128,
        height=128,
        steps=8,
        guidance_scale=1.0,
        guidance_interval=(0.2, 0.8),
        sampler="ddim",
        eta=0.5,
        aug_level=0.1,
    )
    parameters = JobParameters(
        prompt=prompt,
        negative_prompt=negative_prompt,
        n=n,
        size=128,
        width=128,
        height=128,
        seed=7,
        stages=(base, upper),
    )
    return NewJob(
        parameters=parameters,
        owner=owner,
        priority=priority,
        deadline_s=deadline_s,
        webhook=webhook,
    )


def an_image(task: Task) -> ImageResult:
    """The record of a task's image, as a worker makes it after the last stage."""
    png = f"png {task.image}".encode()
    return ImageResult(
        index=task.image,
        seed=task.parameters.image_seed(task.image),
        width=128,
        height=128,
        path=image_path(task.job_id, task.image),
        sha256=hashlib.sha256(png).hexdigest(),
        bytes=len(png),
    )


async def alive_since_long(redis: Redis, *workers: str) -> None:
    """As if their heartbeats had been there for longer than a lease: they may reclaim."""
    for worker in workers:
        await redis.set(keys.worker(worker), 1, px=60_000)


async def past_its_deadline(redis: Redis, job: NewJob) -> None:
    """As if so much time had gone by."""
    await redis.zadd(keys.deadlines(), {job.id: 1}, xx=True)
    await redis.hset(keys.job(job.id), "deadline_at", "1")


async def a_while_later(redis: Redis, job: NewJob) -> None:
    """As if enough time had gone by since progress was told."""
    await redis.hset(keys.job(job.id), "progress_told_ms", "1")


async def claim_one(queue: Queue, worker: str, stage: str) -> Task:
    """The next task of a stage, which must be there."""
    (task,) = await queue.claim(worker, stage, count=1)
    return task


async def encode(queue: Queue, worker: str = "w1") -> bool:
    """Plays the text stage of one job, encoding only what is missing."""
    task = await claim_one(queue, worker, "text")
    prompts = (task.parameters.prompt, task.parameters.negative_prompt)
    missing = await queue.missing_embeddings(ENCODER, prompts)
    return await queue.commit_text(
        task, worker, ENCODER, {prompt: f"embedding of {prompt!r}".encode() for prompt in missing}
    )


async def draw(queue: Queue, worker: str = "w1") -> bool:
    """Plays both diffusion stages of one image."""
    task = await claim_one(queue, worker, "32")
    assert await queue.commit(task, worker, b"low resolution", "128")
    task = await claim_one(queue, worker, "128")
    return await queue.finish(task, worker, an_image(task)) is Effect.DONE
