"""Builds a worker from its settings and runs it until a signal: what `imagen worker` calls."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from opentelemetry.trace import TracerProvider

from model.calibration import Calibration
from model.cascade import Cascade
from workers.capacity import find_capacities, network_options
from workers.compute import compute_thread
from workers.describe import describe, describe_worker
from workers.diffusion_lane import DiffusionLane
from workers.engine import StageEngine
from workers.jobs.connect import connect
from workers.jobs.image_store import ImageStore
from workers.jobs.job import TEXT_STAGE
from workers.jobs.open_images import open_image_store
from workers.jobs.queue import Queue
from workers.lane import Lane
from workers.metrics import WorkerMetrics, serving
from workers.observing import Observer
from workers.settings import WorkerSettings
from workers.spans import TaskSpans
from workers.text_lane import MOST_PROMPTS, TextLane
from workers.worker import StepTooLong, Worker, new_worker_name

log = logging.getLogger(__name__)


def run(settings: WorkerSettings) -> None:
    """Load the cascade and serve it until SIGTERM or SIGINT.

    Raises InvalidCascade, also for a stage that the cascade does not have; CannotServeMetrics;
    InvalidImageStore.
    """
    open_image_store(settings)  # one that cannot be is refused before the cascade is loaded
    # Until the worker can stop in good order, Ctrl-C ends it at once, also while it computes. So
    # does SIGTERM, for which process 1 of a container has no default action.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    metrics = WorkerMetrics()
    with (
        serving(metrics, settings.metrics_host, settings.metrics_port),
        compute_thread(settings.threads) as compute,
    ):
        cascade = compute.submit(load, settings).result()
        log.info("loaded %s", cascade.name)
        asyncio.run(serve(cascade, settings, compute, metrics))


def load(settings: WorkerSettings) -> Cascade:
    """What this worker serves of its cascade."""
    return Cascade.load(
        settings.cascade,
        settings.device,
        settings.stages,
        keep_text=settings.keep_text,
        network=network_options(settings),
    )


async def serve(
    cascade: Cascade, settings: WorkerSettings, compute: Executor, metrics: WorkerMetrics
) -> None:
    """Serve a loaded cascade until SIGTERM or SIGINT."""
    async with open_worker(cascade, settings, compute, metrics) as worker:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, worker.stop)
        try:
            await worker.run()
        except StepTooLong as error:
            log.warning("%s: ending in the middle of it, its tasks are handed back", error)
            logging.shutdown()
            os._exit(1)  # anything milder would wait for the step, or for a store that hangs


@asynccontextmanager
async def open_worker(
    cascade: Cascade,
    settings: WorkerSettings,
    compute: Executor,
    metrics: WorkerMetrics | None = None,
    spans: TracerProvider | None = None,
) -> AsyncGenerator[Worker]:
    """A worker that is ready to run, with a connection of its own.

    compute: the one thread that runs torch, see compute_thread(). spans: where they go; None is
    the process's own provider, which is none where none was set up.
    """
    metrics = metrics or WorkerMetrics()
    loop = asyncio.get_running_loop()
    capacities = await loop.run_in_executor(compute, find_capacities, cascade, settings)
    redis = connect(settings)
    try:
        queue = Queue(redis, settings, Observer(metrics, TaskSpans(spans)))
        name = new_worker_name()
        images = open_image_store(settings)
        lanes = _lanes(cascade, capacities, queue, images, settings, name, metrics)
        card = describe_worker(name, cascade, [lane.stage for lane in lanes], capacities)
        yield Worker(
            card,
            lanes,
            describe(cascade, settings),
            redis,
            queue,
            images,
            settings,
            compute,
            metrics,
        )
    finally:
        await redis.aclose()


def _lanes(
    cascade: Cascade,
    capacities: Mapping[str, Calibration],
    queue: Queue,
    images: ImageStore,
    settings: WorkerSettings,
    worker: str,
    metrics: WorkerMetrics,
) -> list[Lane]:
    """The lanes of the stages that this worker serves, in cascade order."""
    exact = settings.exact_rows is not None
    served = settings.stages or (TEXT_STAGE, *(stage.spec.name for stage in cascade.stages))
    lanes: list[Lane] = []
    if TEXT_STAGE in served:
        meter = metrics.meter(TEXT_STAGE, MOST_PROMPTS)
        lanes.append(TextLane(cascade.text, queue, worker, exact, meter))
    for stage in cascade.stages:
        name = stage.spec.name
        if name in served:
            rows = capacities[name].rows
            engine = StageEngine(stage, rows, metrics.meter(name, rows))
            lanes.append(DiffusionLane(engine, queue, images, worker, cascade, metrics))
    return lanes
