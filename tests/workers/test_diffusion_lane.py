"""Whatever stops a step, each image that was taken in ends its job."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from redis.asyncio import Redis

from model.cascade import Cascade
from tests.workers.failing import a_tiny_job, let_the_second_failure_find_no_queue
from workers.diffusion_lane import DiffusionLane
from workers.engine import StageEngine
from workers.jobs.errors import QueueUnavailable
from workers.jobs.image_store import FolderImageStore
from workers.jobs.job import JobError, JobStatus
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.text_lane import TextLane

REASON = JobError(code="stage_failed", message="no memory")


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


@pytest.fixture
def queue(redis: Redis, queue_settings: QueueSettings) -> Queue:
    return Queue(redis, queue_settings)


@pytest.fixture
def lane(cascade: Cascade, queue: Queue, queue_settings: QueueSettings) -> DiffusionLane:
    engine = StageEngine(cascade.stages[0], capacity=8)
    return DiffusionLane(engine, queue, FolderImageStore(queue_settings.images_dir), "w1", cascade)


async def take_in(lane: DiffusionLane, cascade: Cascade, queue: Queue, steps: int) -> list[str]:
    """Two jobs, from their prompts to where the lane has them."""
    jobs = [a_tiny_job(steps=steps) for _ in range(2)]
    text = TextLane(cascade.text, queue, "w1")
    for job in jobs:
        await queue.submit(job)
    for task in await queue.claim("w1", "text", count=2, block_s=0):
        await text.accept(task)
    for outcome in text.compute():
        await text.commit(outcome)
    for task in await queue.claim("w1", "8", count=2, block_s=0):
        await lane.accept(task)
    return [job.id for job in jobs]


async def check_all_fail(
    lane: DiffusionLane, queue: Queue, jobs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the queue goes away in between."""
    let_the_second_failure_find_no_queue(queue, monkeypatch)
    with pytest.raises(QueueUnavailable):
        await lane.fail_all(REASON)
    await lane.fail_all(REASON)
    assert {(await queue.job(job)).status for job in jobs} == {JobStatus.FAILED}
    assert not lane.has_work


async def test_an_image_that_cannot_be_started(
    lane: DiffusionLane, cascade: Cascade, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await take_in(lane, cascade, queue, steps=5000)
    with pytest.raises(ValueError, match="steps must be"):
        lane.compute()
    await check_all_fail(lane, queue, jobs, monkeypatch)


async def test_a_picture_that_cannot_be_finished(
    lane: DiffusionLane, cascade: Cascade, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(image: object) -> NoReturn:
        raise RuntimeError("no memory")

    jobs = await take_in(lane, cascade, queue, steps=1)
    monkeypatch.setattr(cascade, "finish", out_of_memory)
    with pytest.raises(RuntimeError):
        lane.compute()
    await check_all_fail(lane, queue, jobs, monkeypatch)


async def test_a_picture_that_is_blocked_says_for_what(
    lane: DiffusionLane, cascade: Cascade, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = cascade.finish
    monkeypatch.setattr(cascade, "finish", lambda image: replace(finish(image), blocked_by="nsfw"))
    jobs = await take_in(lane, cascade, queue, steps=1)
    for outcome in lane.compute():
        await lane.commit(outcome)
    for job in jobs:
        (image,) = (await queue.job(job)).images
        assert image.blocked_by == "nsfw"
