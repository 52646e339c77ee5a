"""Who follows a job sees how far its images are; a report that cannot be made stops nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model.cascade import Cascade
from tests.workers.tiny_jobs import a_tiny_job, settle, take_in
from workers.diffusion_lane import DiffusionLane
from workers.engine import StageEngine
from workers.jobs import keys
from workers.jobs.announcements import listening
from workers.jobs.background import in_background
from workers.jobs.errors import QueueUnavailable
from workers.jobs.events import Event, JobEvents, Previewed, Progressed
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.job import ImageProgress, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue, Reached
from workers.jobs.settings import QueueSettings
from workers.patience import Patience
from workers.reporting import Reporter
from workers.text_lane import TextLane

STEPS = 5


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


@pytest.fixture
def lane(cascade: Cascade, queue: Queue, queue_settings: QueueSettings) -> DiffusionLane:
    images = FolderImageStore(queue_settings.images_dir)
    return DiffusionLane(StageEngine(cascade.stages[0], 8), queue, images, "w1", cascade)


@pytest.fixture
def events(redis: Redis, queue_settings: QueueSettings, ledger: Ledger) -> JobEvents:
    return JobEvents(redis, queue_settings, ledger)


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
async def reporter(
    lane: DiffusionLane, queue: Queue, patience: Patience
) -> AsyncIterator[Reporter]:
    """One that runs."""
    reporter = Reporter([object(), lane], queue, patience)
    running = asyncio.create_task(reporter.report())
    yield reporter
    patience.end()
    reporter.wake()
    await running


async def begin(lane: DiffusionLane, cascade: Cascade, ledger: Ledger, queue: Queue) -> None:
    """What has been submitted, to where the lane has its images."""
    text = TextLane(cascade.text, queue, "w1")
    await take_in(text, ledger, queue)
    await settle(text, queue)
    await take_in(lane, ledger, queue)


async def until(events: AsyncIterator[Event], kind: type[Event]) -> Event:
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__}")


async def test_who_follows_a_job_sees_its_images_grow(
    lane: DiffusionLane,
    reporter: Reporter,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    events: JobEvents,
    redis: Redis,
) -> None:
    job = (await ledger.submit(a_tiny_job(steps=STEPS))).job
    async with listening(redis, {keys.happened(): events.bells.ring}):
        followed = events.follow(await events.look(job.id))
        await begin(lane, cascade, ledger, queue)
        lane.compute()
        reporter.wake()
        preview = await until(followed, Previewed)
        progress = await until(followed, Progressed)
        await followed.aclose()
    assert isinstance(preview, Previewed)
    assert isinstance(progress, Progressed)
    assert preview.image == ImageProgress(index=0, stage="8", step=1, steps=STEPS)
    assert preview.png.startswith(b"\x89PNG")
    assert progress.images == (preview.image,)


async def test_a_job_that_no_one_follows_says_how_far_it_is_when_asked(
    lane: DiffusionLane,
    reporter: Reporter,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = (await ledger.submit(a_tiny_job(n=2, steps=STEPS))).job
    await begin(lane, cascade, ledger, queue)
    lane.compute()
    told = after(monkeypatch, queue, "progress")
    reporter.wake()
    await told.wait()
    at_step_one = tuple(
        ImageProgress(index=index, stage="8", step=1, steps=STEPS) for index in range(2)
    )
    stands = await ledger.job(job.id)
    assert stands.progress == at_step_one
    assert stands.fraction_done == pytest.approx(1 / STEPS)
    assert lane.take_previews() == []
    assert not await redis.exists(keys.events(job.id))


async def test_who_comes_later_sees_previews_after_the_next_report(
    lane: DiffusionLane,
    reporter: Reporter,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    events: JobEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = (await ledger.submit(a_tiny_job(steps=STEPS))).job
    await begin(lane, cascade, ledger, queue)
    lane.compute()
    await events.look(job.id)
    told = after(monkeypatch, queue, "progress")
    reporter.wake()
    await told.wait()
    assert lane.take_previews() == []
    lane.compute()
    ((reached, png),) = lane.take_previews()
    assert (reached.task.job_id, reached.step, reached.steps) == (job.id, 2, STEPS)
    assert png.startswith(b"\x89PNG")


async def test_what_a_checker_may_block_is_not_shown_before(
    lane: DiffusionLane,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    events: JobEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cascade, "has_checker", True)
    job = (await ledger.submit(a_tiny_job(steps=STEPS))).job
    await events.look(job.id)
    await begin(lane, cascade, ledger, queue)
    lane.compute()
    assert lane.take_previews() == []


def after(monkeypatch: pytest.MonkeyPatch, queue: Queue, name: str) -> asyncio.Event:
    """Set when this method of the queue has returned."""
    returned = asyncio.Event()
    method = getattr(queue, name)

    async def call(*arguments: object) -> object:
        result = await method(*arguments)
        returned.set()
        return result

    monkeypatch.setattr(queue, name, call)
    return returned


class Step:
    """A lane with one task, always a step further."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._steps = 0
        self.watched: list[str] = []

    def progress(self) -> list[Reached]:
        self._steps += 1
        return [Reached(self._task, self._steps, 99)]

    def watch(self, keys: Iterable[str], of: Iterable[Reached]) -> None:
        self.watched += keys

    def take_previews(self) -> list[tuple[Reached, bytes]]:
        return []


@pytest.fixture
async def step(ledger: Ledger, queue: Queue) -> Step:
    await ledger.submit(a_tiny_job())
    (task,) = await queue.claim("w1", "text", count=1)
    return Step(task)


async def test_a_queue_that_is_away_costs_one_report(
    step: Step, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, calls = queue.progress, iter(range(9))
    told = asyncio.Event()

    async def away_at_first(reached: Sequence[Reached]) -> set[str]:
        if next(calls) == 0:
            raise QueueUnavailable("away")
        told.set()
        return await progress(reached)

    monkeypatch.setattr(queue, "progress", away_at_first)
    monkeypatch.setattr("workers.reporting.PAUSE_S", 0)
    patience = Patience()
    reporter = Reporter([step], queue, patience)
    async with asyncio.timeout(20), in_background(reporter.report(), "reporter"):
        while not told.is_set():
            reporter.wake()
            await asyncio.sleep(0)


async def test_progress_is_not_told_again_before_a_pause(
    step: Step, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[Reached]] = []
    monkeypatch.setattr("workers.reporting.PAUSE_S", 3600)

    async def count(reached: Sequence[Reached]) -> set[str]:
        calls.append(reached)
        return set()

    monkeypatch.setattr(queue, "progress", count)
    reporter = Reporter([step], queue, Patience())
    async with in_background(reporter.report(), "reporter"):
        for _ in range(100):
            reporter.wake()
            await asyncio.sleep(0)
    assert len(calls) == 1
