"""What a worker counts while it draws, and the port where that is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from model.cascade import Cascade
from tests.app.conftest import free_port
from tests.faults import memory_for, refusing
from tests.scrape import not_zero, of_families, series
from tests.serving import worker_settings
from tests.workers.jobs.conftest import FAILURE, a_job, alive_since_long, claim_one
from tests.workers.tiny_jobs import a_tiny_job
from workers.blame import NOT_FINITE, OUT_OF_MEMORY, STAGE_FAILED
from workers.compute import compute_thread
from workers.jobs import keys
from workers.jobs.announcements import listening
from workers.jobs.job import Job, NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.jobs.watcher import JobWatcher
from workers.main import open_worker, run
from workers.metrics import CannotServeMetrics, WorkerMetrics, serving
from workers.observing import Observer
from workers.spans import TaskSpans

CAPACITY = 4


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics()


def counted(metrics: WorkerMetrics) -> dict[str, dict[str, float]]:
    return of_families(metrics.registry.collect())


@asynccontextmanager
async def drawing(
    cascade: Cascade, queue_settings: QueueSettings, tiny_cascade: Path, metrics: WorkerMetrics
) -> AsyncGenerator[None]:
    """A worker that is measured."""
    settings = worker_settings(queue_settings, tiny_cascade, rows=CAPACITY)
    with compute_thread(1) as compute:
        async with open_worker(cascade, settings, compute, metrics) as worker:
            running = asyncio.create_task(worker.run())
            try:
                yield
            finally:
                worker.stop()
                await running


async def drawn(ledger: Ledger, redis: Redis, job: NewJob) -> Job:
    watcher = JobWatcher(ledger)
    async with listening(redis, {keys.ended(): watcher.bells.ring}):
        await ledger.submit(job)
        ended = await watcher.wait(job.id, timeout_s=30)
    assert ended.status.terminal
    return ended


@pytest.fixture
async def worker(
    cascade: Cascade,
    redis: Redis,
    queue_settings: QueueSettings,
    tiny_cascade: Path,
    metrics: WorkerMetrics,
) -> AsyncIterator[None]:
    async with drawing(cascade, queue_settings, tiny_cascade, metrics):
        yield


@pytest.mark.usefixtures("worker")
async def test_a_picture_is_measured_all_the_way(
    ledger: Ledger, redis: Redis, metrics: WorkerMetrics
) -> None:
    """Two prompts, one of them empty; three steps of one guided picture, at one stage of two."""
    assert (await drawn(ledger, redis, a_tiny_job(steps=3))).images
    found = counted(metrics)
    assert not_zero(found["imagen_worker_step_seconds_count"]) == {"stage=text": 1, "stage=8": 3}
    assert not_zero(found["imagen_worker_step_rows_total"]) == {"stage=text": 2, "stage=8": 6}
    assert found["imagen_worker_step_capacity_rows_total"]["stage=8"] == 3 * CAPACITY
    assert found["imagen_worker_capacity_rows"] == {"stage=text": 32, "stage=8": 4, "stage=16": 4}
    assert found["imagen_worker_commit_seconds_count"] == {"stage=text": 1, "stage=8": 1}
    assert found["imagen_worker_store_seconds_count"] == {"": 1}
    assert found["imagen_worker_store_away"] == {"": 0}
    assert found["imagen_worker_image_seconds_count"] == {"": 1}
    steps_s = found["imagen_worker_step_seconds_sum"]["stage=8"]
    assert 0 < steps_s < found["imagen_worker_image_seconds_sum"][""] < 30


@pytest.mark.usefixtures("worker")
async def test_where_memory_ends_the_capacity_tells(
    cascade: Cascade, ledger: Ledger, redis: Redis, metrics: WorkerMetrics
) -> None:
    with memory_for(cascade.stages[0].network.unet, rows=2):
        assert len((await drawn(ledger, redis, a_tiny_job(n=2, steps=20))).images) == 2
    assert counted(metrics)["imagen_worker_capacity_rows"]["stage=8"] == 2


@pytest.mark.usefixtures("worker")
async def test_a_failure_is_counted_by_its_code(
    cascade: Cascade, ledger: Ledger, redis: Redis, metrics: WorkerMetrics
) -> None:
    (cat,) = cascade.text.encode(["a cat"])
    with refusing(cascade.stages[0].network.unet, cat, RuntimeError("a bug")):
        assert (await drawn(ledger, redis, a_tiny_job())).error
    failed = counted(metrics)["imagen_worker_failed_tasks_total"]
    assert not_zero(failed) == {"stage=8 code=stage_failed": 1}


@pytest.mark.usefixtures("worker")
async def test_counters_of_failures_are_there_before_the_first(metrics: WorkerMetrics) -> None:
    """A series that begins with its first failure has no rate to be woken by."""
    found = counted(metrics)
    stages = ("stage=text", "stage=8", "stage=16")
    for name in ("given_up_tasks", "reclaimed_tasks", "fenced_commits"):
        assert found[f"imagen_worker_{name}_total"] == dict.fromkeys(stages, 0)
    codes = {NOT_FINITE, OUT_OF_MEMORY, STAGE_FAILED, "input_expired", "image_store"}
    assert found["imagen_worker_failed_tasks_total"] == {
        f"{stage} code={code}": 0 for stage in stages for code in codes
    }


@pytest.mark.usefixtures("worker")
async def test_a_store_that_is_away_is_told(
    ledger: Ledger,
    redis: Redis,
    queue_settings: QueueSettings,
    metrics: WorkerMetrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pause in ("committing.STORE_PAUSE_S", "storing.CHECK_PAUSE_S"):
        monkeypatch.setattr(f"workers.{pause}", 0.01)
    queue_settings.images_dir.touch()  # where a folder should be
    drawing = asyncio.create_task(drawn(ledger, redis, a_tiny_job()))
    async with asyncio.timeout(20):
        while counted(metrics)["imagen_worker_store_away"] != {"": 1}:
            await asyncio.sleep(0.005)
        queue_settings.images_dir.unlink()
        assert (await drawing).images
        while counted(metrics)["imagen_worker_store_away"] != {"": 0}:
            await asyncio.sleep(0.005)


async def test_what_is_taken_from_the_dead_is_counted(
    redis: Redis, ledger: Ledger, queue_settings: QueueSettings, metrics: WorkerMetrics
) -> None:
    twice = queue_settings.model_copy(update={"max_deliveries": 2})
    queue = Queue(redis, twice, Observer(metrics, TaskSpans()))
    await ledger.submit(a_job())
    await alive_since_long(redis, "w9")
    tasks = []
    for worker in ("w1", "w2"):  # which have no heartbeat
        tasks.append(await claim_one(queue, worker, "text"))
        await queue.reclaim("w9", "text")
    await queue.fail(tasks[0], "w1", FAILURE)
    found = counted(metrics)
    assert found["imagen_worker_reclaimed_tasks_total"] == {"stage=text": 1}
    assert found["imagen_worker_given_up_tasks_total"] == {"stage=text": 1}
    assert found["imagen_worker_fenced_commits_total"] == {"stage=text": 1}


def test_they_are_read_at_a_port_as_long_as_the_worker_lives(metrics: WorkerMetrics) -> None:
    metrics.image_seconds.observe(2.0)
    port = free_port()
    with serving(metrics, "127.0.0.1", port):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert series(answer.text)["imagen_worker_image_seconds_sum"] == {"": 2.0}
    with serving(metrics, "127.0.0.1", port):  # it is free again
        pass


def test_a_port_that_is_taken_is_refused_by_name_before_anything_is_loaded(
    queue_settings: QueueSettings, tmp_path: Path
) -> None:
    nowhere = tmp_path / "no cascade"
    with serving(WorkerMetrics(), "127.0.0.1", port := free_port()):
        settings = worker_settings(queue_settings, nowhere, metrics_port=port)
        with pytest.raises(CannotServeMetrics, match="IMAGEN_METRICS_PORT"):
            run(settings)
