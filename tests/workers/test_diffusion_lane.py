"""Whatever happens to an image, its job learns of it; whatever no one wants is let go."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from model.cascade import Cascade
from model.finishing import Finished
from tests.workers.tiny_jobs import a_tiny_job, settle, take_in
from workers.diffusion_lane import DiffusionLane
from workers.engine import StageEngine
from workers.jobs.errors import ImageStoreUnavailable
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.job import JobStatus, NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.text_lane import TextLane


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


@pytest.fixture
def images(queue_settings: QueueSettings) -> FolderImageStore:
    return FolderImageStore(queue_settings.images_dir)


@pytest.fixture
def lane(cascade: Cascade, queue: Queue, images: FolderImageStore) -> DiffusionLane:
    engine = StageEngine(cascade.stages[0], capacity=8)
    return DiffusionLane(engine, queue, images, "w1", cascade)


async def begin(
    lane: DiffusionLane, cascade: Cascade, ledger: Ledger, queue: Queue, *jobs: NewJob
) -> None:
    """From their prompts to where the lane has their images."""
    text = TextLane(cascade.text, queue, "w1")
    await take_in(text, ledger, queue, *jobs)
    await settle(text, queue)
    await take_in(lane, ledger, queue)


async def test_an_image_that_cannot_be_started_fails_alone(
    lane: DiffusionLane, cascade: Cascade, ledger: Ledger, queue: Queue
) -> None:
    wrong, right = a_tiny_job(steps=5000), a_tiny_job(steps=1)
    await begin(lane, cascade, ledger, queue, wrong, right)
    await settle(lane, queue)
    failed = await ledger.job(wrong.id)
    assert failed.error is not None
    assert (failed.error.code, failed.error.image) == ("stage_failed", 0)
    assert "steps must be" in failed.error.message
    assert (await ledger.job(right.id)).status is JobStatus.SUCCEEDED


async def test_a_picture_that_cannot_be_finished_fails_alone(
    lane: DiffusionLane,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish, calls = cascade.finish, iter(range(9))

    def finish_all_but_the_first(image: Tensor) -> Finished:
        if next(calls) == 0:
            raise ArithmeticError("no ground")
        return finish(image)

    monkeypatch.setattr(cascade, "finish", finish_all_but_the_first)
    first, second = a_tiny_job(), a_tiny_job()
    await begin(lane, cascade, ledger, queue, first, second)
    await settle(lane, queue)
    assert {(await ledger.job(job.id)).status for job in (first, second)} == {"failed", "succeeded"}


async def test_a_picture_that_is_blocked_says_for_what(
    lane: DiffusionLane,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish = cascade.finish
    monkeypatch.setattr(cascade, "finish", lambda image: replace(finish(image), blocked_by="nsfw"))
    job = a_tiny_job()
    await begin(lane, cascade, ledger, queue, job)
    await settle(lane, queue)
    (image,) = (await ledger.job(job.id)).images
    assert image.blocked_by == "nsfw"


async def test_a_full_image_store_loses_no_picture(
    lane: DiffusionLane,
    cascade: Cascade,
    images: FolderImageStore,
    ledger: Ledger,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: str, data: bytes) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device", "/a/path/of/ours")

    job = a_tiny_job()
    await begin(lane, cascade, ledger, queue, job)
    (outcome,) = lane.compute()
    with monkeypatch.context() as patch:
        patch.setattr(images, "put", full)
        with pytest.raises(ImageStoreUnavailable, match=r"^No space left on device$"):
            await lane.commit(outcome)
    await lane.commit(outcome)
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED


async def test_a_job_that_has_ended_frees_its_rows_and_leaves_no_picture(
    lane: DiffusionLane, cascade: Cascade, ledger: Ledger, queue: Queue
) -> None:
    kept, dropped = a_tiny_job(steps=2), a_tiny_job(steps=9, n=2)
    await begin(lane, cascade, ledger, queue, kept, dropped)
    assert lane.room == 1
    lane.compute()
    await ledger.cancel(dropped.id)
    lane.drop(lambda task: task.job_id == dropped.id)
    await settle(lane, queue)
    assert (await ledger.job(kept.id)).status is JobStatus.SUCCEEDED
    assert not lane.has_work
    assert lane.room == 4


async def test_a_picture_that_comes_after_its_job_was_deleted_is_taken_away(
    lane: DiffusionLane,
    cascade: Cascade,
    ledger: Ledger,
    queue: Queue,
    queue_settings: QueueSettings,
) -> None:
    job = a_tiny_job()
    await begin(lane, cascade, ledger, queue, job)
    (outcome,) = lane.compute()
    await ledger.erase(job.id)
    await lane.commit(outcome)
    assert list(queue_settings.images_dir.iterdir()) == []
