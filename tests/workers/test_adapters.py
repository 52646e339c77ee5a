"""From a job's adapters to its picture: many in one batch, each as the reference loop draws it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.cascade import Cascade
from model.network import NetworkOptions
from tests.adapters import write_adapted_cascade
from tests.workers.tiny_jobs import a_tiny_job, settle, take_in
from workers.describe import describe, settings_of
from workers.diffusion_lane import DiffusionLane
from workers.engine import StageEngine
from workers.jobs.card import AdapterCard
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.image_store import image_path
from workers.jobs.job import JobStatus, NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.settings import WorkerSettings
from workers.text_lane import TextLane

ASKED = [{}, {"ink": 1.0}, {"clay": -0.5}, {"clay": 2.0, "ink": 0.5}]
"""By job, all of one prompt and seed."""


@pytest.fixture(scope="module")
def folder(tiny_cascade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapted_cascade(tmp_path_factory.mktemp("adapted") / "cascade", tiny_cascade)


def a_job(adapters: dict[str, float]) -> NewJob:
    job = a_tiny_job(steps=2)
    (stage,) = job.parameters.stages
    stages = (stage.model_copy(update={"adapters": adapters}),)
    parameters = job.parameters.model_copy(update={"stages": stages})
    return job.model_copy(update={"parameters": parameters})


async def draw(
    cascade: Cascade,
    settings: QueueSettings,
    ledger: Ledger,
    queue: Queue,
    *jobs: NewJob,
) -> list[bytes]:
    """The PNG of each job, drawn together."""
    images = FolderImageStore(settings.images_dir)
    lane = DiffusionLane(StageEngine(cascade.stages[0], 16), queue, images, "w1", cascade)
    text = TextLane(cascade.text, queue, "w1")
    await take_in(text, ledger, queue, *jobs)
    await settle(text, queue)
    await take_in(lane, ledger, queue)
    while lane.has_work:
        await settle(lane, queue)
    assert {(await ledger.job(job.id)).status for job in jobs} == {JobStatus.SUCCEEDED}
    return [images.get(image_path(job.id, 0)) for job in jobs]


async def test_jobs_of_one_batch_have_their_own_adapters(
    folder: Path, queue_settings: QueueSettings, ledger: Ledger, queue: Queue
) -> None:
    cascade = Cascade.load(folder, "cpu,float32", stages=["text", "8"])
    jobs = [a_job(adapters) for adapters in ASKED]
    drawn = await draw(cascade, queue_settings, ledger, queue, *jobs)
    pictures = []
    for job, png in zip(jobs, drawn, strict=True):
        with Image.open(io.BytesIO(png)) as picture:
            pictures.append(np.asarray(picture).astype(int))
            told = json.loads(picture.info["parameters"])
        (stage,) = job.parameters.stages
        assert told["stages"][0]["adapters"] == stage.adapters
        expected = cascade.generate("a cat", seed=0, size=8, settings={"8": settings_of(stage)})
        assert np.abs(pictures[-1] - expected.pixels.numpy()).max() <= 1
    for other in pictures[1:]:
        assert np.abs(other - pictures[0]).max() > 8


async def test_with_exact_rows_the_bytes_are_those_of_a_job_drawn_alone(
    folder: Path, queue_settings: QueueSettings, ledger: Ledger, queue: Queue
) -> None:
    options = NetworkOptions(buckets=(4,))
    cascade = Cascade.load(folder, "cpu,float32", stages=["text", "8"], network=options)
    jobs = [a_job(adapters) for adapters in ASKED]
    together = await draw(cascade, queue_settings, ledger, queue, *jobs)
    for adapters, png in zip(ASKED, together, strict=True):
        (alone,) = await draw(cascade, queue_settings, ledger, queue, a_job(adapters))
        assert alone == png


async def test_a_job_of_an_adapter_that_this_worker_lacks_fails_alone(
    folder: Path, queue_settings: QueueSettings, ledger: Ledger, queue: Queue
) -> None:
    """As where two workers serve other versions of one cascade."""
    cascade = Cascade.load(folder, "cpu,float32", stages=["text", "8"])
    lane = DiffusionLane(
        StageEngine(cascade.stages[0], 16),
        queue,
        FolderImageStore(queue_settings.images_dir),
        "w1",
        cascade,
    )
    wrong, right = a_job({"chalk": 1.0}), a_job({})
    text = TextLane(cascade.text, queue, "w1")
    await take_in(text, ledger, queue, wrong, right)
    await settle(text, queue)
    await take_in(lane, ledger, queue)
    while lane.has_work:
        await settle(lane, queue)
    error = (await ledger.job(wrong.id)).error
    assert error is not None
    assert error.message == "stage 8: there is no adapter chalk at stage 8; there is ink, clay"
    assert (await ledger.job(right.id)).status is JobStatus.SUCCEEDED


def test_the_card_lists_those_of_all_stages(folder: Path) -> None:
    """Also of those that are not served here: the API needs to know of them."""
    cascade = Cascade.load(folder, "cpu,float32", stages=["text"])
    assert describe(cascade, WorkerSettings()).adapters == (
        AdapterCard(name="ink", stage="8"),
        AdapterCard(name="clay", stage="8"),
        AdapterCard(name="chalk", stage="16"),
    )
