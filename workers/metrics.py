"""What a worker counts and measures, and the port where Prometheus reads it.

Knows neither the queue nor how a stage works: it is told.
"""

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from workers.jobs.errors import ImagenError

STEP_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
HAND_ON_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
IMAGE_S = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Bounds of the histograms: of a step, of what hands on its results, of the whole way."""


FAILURES = ("not_finite", "out_of_memory", "stage_failed", "input_expired", "image_store")
"""The codes of failed tasks."""


class CannotServeMetrics(ImagenError):
    """IMAGEN_METRICS_PORT cannot be listened at."""


class WorkerMetrics:
    """One set per worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.step_seconds = Histogram(
            "imagen_worker_step_seconds",
            "One step of a stage: a forward and what belongs to it; of prompts at the text stage.",
            ("stage",),
            buckets=STEP_S,
            registry=registry,
        )
        self.step_rows = Counter(
            "imagen_worker_step_rows",
            "Rows stepped, two for a guided picture; prompts encoded at the text stage.",
            ("stage",),
            registry=registry,
        )
        self.step_capacity = Counter(
            "imagen_worker_step_capacity_rows",
            "Rows that the same steps had room for.",
            ("stage",),
            registry=registry,
        )
        self.capacity = Gauge(
            "imagen_worker_capacity_rows",
            "Rows that a step has room for now; halved each time that memory ends.",
            ("stage",),
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "imagen_worker_commit_seconds",
            "From a result to its record in the queue, the picture's way into the store included.",
            ("stage",),
            buckets=HAND_ON_S,
            registry=registry,
        )
        self.store_seconds = Histogram(
            "imagen_worker_store_seconds",
            "One picture's way into the image store.",
            buckets=HAND_ON_S,
            registry=registry,
        )
        self.store_away = Gauge(
            "imagen_worker_store_away",
            "1 while the image store takes no pictures, and so the worker no work.",
            registry=registry,
        )
        self.image_seconds = Histogram(
            "imagen_worker_image_seconds",
            "From the acceptance of a job to the record of one of its pictures.",
            buckets=IMAGE_S,
            registry=registry,
        )
        self.failed = Counter(
            "imagen_worker_failed_tasks",
            "Tasks that failed in this worker, by the code that the job tells.",
            ("stage", "code"),
            registry=registry,
        )
        self.given_up = Counter(
            "imagen_worker_given_up_tasks",
            "Tasks of dead workers that this one has given up: too many had died with them.",
            ("stage",),
            registry=registry,
        )
        self.reclaimed = Counter(
            "imagen_worker_reclaimed_tasks",
            "Tasks of dead workers that this one has made ready again.",
            ("stage",),
            registry=registry,
        )
        self.fenced = Counter(
            "imagen_worker_fenced_commits",
            "Results that came too late: the task was another's, or its job had ended.",
            ("stage",),
            registry=registry,
        )

    def meter(self, stage: str, capacity: int) -> "StepMeter":
        """For one stage that this worker serves. capacity: rows that a step has room for."""
        for metric in (self.given_up, self.reclaimed, self.fenced):
            metric.labels(stage)  # or an alert on its rate would miss the first
        for code in FAILURES:
            self.failed.labels(stage, code)
        return StepMeter(self, stage, capacity)


class StepMeter:
    """Is told of each step of a stage, by the thread that computes: so it takes microseconds."""

    def __init__(self, metrics: WorkerMetrics, stage: str, capacity: int) -> None:
        self._seconds = metrics.step_seconds.labels(stage)
        self._rows = metrics.step_rows.labels(stage)
        self._room = metrics.step_capacity.labels(stage)
        self._capacity = metrics.capacity.labels(stage)
        self._capacity.set(capacity)

    def __call__(self, rows: int, capacity: int, seconds: float) -> None:
        self._seconds.observe(seconds)
        self._rows.inc(rows)
        self._room.inc(capacity)
        self._capacity.set(capacity)


@contextmanager
def timed(histogram: Histogram) -> Generator[None]:
    """What is done within, unless it raises."""
    started_s = perf_counter()
    yield
    histogram.observe(perf_counter() - started_s)


@contextmanager
def serving(metrics: WorkerMetrics, host: str, port: int | None) -> Generator[None]:
    """Serves GET /metrics from a thread of its own; nothing where there is no port.

    Raises: CannotServeMetrics.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise CannotServeMetrics(
            f"metrics cannot be served at {host}:{port} ({error.strerror}): give"
            " IMAGEN_METRICS_PORT a port that is free, and each worker of a machine its own"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
