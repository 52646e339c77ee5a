"""Builds a worker from its settings and runs it until a signal: what `imagen worker` calls."""

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from model.cascade import Cascade
from model.errors import InvalidCascade
from workers.describe import describe
from workers.diffusion_lane import DiffusionLane
from workers.engine import StageEngine
from workers.jobs.connect import connect
from workers.jobs.image_store import FolderImageStore
from workers.jobs.job import TEXT_STAGE
from workers.jobs.queue import Queue
from workers.lane import Lane
from workers.settings import WorkerSettings
from workers.text_lane import TextLane
from workers.worker import Worker, new_worker_name

log = logging.getLogger(__name__)


def run(settings: WorkerSettings) -> None:
    """Load the cascade and serve it until SIGTERM or SIGINT.

    Raises InvalidCascade, or ValueError for a stage that the cascade does not have.
    """
    cascade = Cascade.load(settings.cascade, settings.device)
    log.info("loaded %s", cascade.name)
    asyncio.run(serve(cascade, settings))


async def serve(cascade: Cascade, settings: WorkerSettings) -> None:
    """Serve a loaded cascade until SIGTERM or SIGINT."""
    async with open_worker(cascade, settings) as worker:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, worker.stop)
        await worker.run()


@asynccontextmanager
async def open_worker(cascade: Cascade, settings: WorkerSettings) -> AsyncGenerator[Worker]:
    """A worker that is ready to run, with a connection of its own."""
    redis = connect(settings)
    try:
        queue = Queue(redis, settings)
        name = new_worker_name()
        lanes = _lanes(cascade, queue, settings, name)
        yield Worker(name, lanes, describe(cascade, settings), queue, settings)
    finally:
        await redis.aclose()


def _lanes(cascade: Cascade, queue: Queue, settings: WorkerSettings, worker: str) -> list[Lane]:
    """The lanes of the stages that this worker serves, in cascade order."""
    lanes: dict[str, Lane] = {TEXT_STAGE: TextLane(cascade.text, queue, worker)}
    images = FolderImageStore(settings.images_dir)
    for stage in cascade.stages:
        capacity = batch_capacity(stage.spec.size_px, stage.device.type)
        engine = StageEngine(stage, capacity)
        lanes[stage.spec.name] = DiffusionLane(engine, queue, images, worker, cascade.name)
    served = tuple(lanes) if settings.stages is None else settings.stages
    unknown = [name for name in served if name not in lanes]
    if unknown:
        raise InvalidCascade(
            f"stages: {cascade.name} has no stage {', '.join(unknown)}; it has {', '.join(lanes)}"
        )
    return [lane for name, lane in lanes.items() if name in served]


_BATCH_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 22}
_MOST_IMAGES = {"cpu": 16, "cuda": 64}


def batch_capacity(size_px: int, device: str) -> int:
    """Images that one step of a stage holds: enough to fill the device, few enough to stay brisk.

    A guided image takes two rows. On two CPU cores picture-book's time per row hardly falls beyond
    8 rows of 32 px and 2 of 128 px; the GPU's numbers are a guess until a worker measures them.
    """
    kind = device if device in _BATCH_PIXELS else "cuda"
    return max(1, min(_MOST_IMAGES[kind], _BATCH_PIXELS[kind] // size_px**2))
