"""A task is a span from its claim to its end, whatever its end is, in the trace of its job."""

from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from redis.asyncio import Redis

from tests.workers.jobs.conftest import FAILURE, a_job, alive_since_long, claim_one, draw, encode
from workers.jobs.job import NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.metrics import WorkerMetrics
from workers.observing import Observer
from workers.spans import TaskSpans

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def queue(redis: Redis, queue_settings: QueueSettings, exporter: InMemorySpanExporter) -> Queue:
    """One whose tasks are spans."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Queue(redis, queue_settings, Observer(WorkerMetrics(), TaskSpans(provider)))


def a_traced_job() -> NewJob:
    return a_job().model_copy(update={"traceparent": f"00-{TRACE}-{SPAN}-01"})


def told(span: ReadableSpan) -> Mapping[str, object]:
    assert span.attributes is not None
    return span.attributes


def ends(exporter: InMemorySpanExporter) -> list[tuple[str, object]]:
    """Names and outcomes, in the order in which they ended."""
    spans = exporter.get_finished_spans()
    return [(span.name, told(span)["imagen.outcome"]) for span in spans]


async def test_every_stage_is_a_span_of_the_jobs_trace(
    ledger: Ledger, queue: Queue, exporter: InMemorySpanExporter
) -> None:
    job = a_traced_job()
    await ledger.submit(job)
    await encode(queue)
    await draw(queue)
    assert ends(exporter) == [
        ("process text", "handed_on"),
        ("process 32", "handed_on"),
        ("process 128", "done"),
    ]
    for span in exporter.get_finished_spans():
        assert span.parent is not None
        assert format_trace_id(span.parent.trace_id) == TRACE
        assert format_span_id(span.parent.span_id) == SPAN
        assert span.kind is SpanKind.CONSUMER
        assert (told(span)["imagen.job"], told(span)["imagen.deliveries"]) == (job.id, 1)
    last = told(exporter.get_finished_spans()[-1])
    about = [last[f"imagen.{name}"] for name in ("stage", "image")]
    assert about == ["128", 0]
    assert last["messaging.client.id"] == "w1"


async def test_a_failure_is_an_error_with_its_code(
    ledger: Ledger, queue: Queue, exporter: InMemorySpanExporter
) -> None:
    await ledger.submit(a_traced_job())
    await queue.fail(await claim_one(queue, "w1", "text"), "w1", FAILURE)
    (span,) = exporter.get_finished_spans()
    assert told(span)["error.type"] == "test"
    assert span.status.status_code is StatusCode.ERROR


async def test_what_comes_too_late_or_is_let_go_ends_too(
    ledger: Ledger, queue: Queue, redis: Redis, exporter: InMemorySpanExporter
) -> None:
    await alive_since_long(redis, "w1")
    late, given_back, canceled = a_traced_job(), a_traced_job(), a_traced_job()
    for job in (late, given_back):
        await ledger.submit(job)
        task = await claim_one(queue, "w1", "text")
        if job is given_back:
            await queue.hand_back("w1", [task])
            await ledger.cancel(job.id)
        else:
            await ledger.cancel(job.id)
            await queue.fail(task, "w1", FAILURE)
    await ledger.submit(canceled)
    await claim_one(queue, "w1", "text")
    await ledger.cancel(canceled.id)
    await queue.reclaim("w1", "text")
    assert [outcome for _, outcome in ends(exporter)] == ["fenced", "let_go", "let_go"]


async def test_a_job_without_a_trace_begins_one(
    ledger: Ledger, queue: Queue, exporter: InMemorySpanExporter
) -> None:
    await ledger.submit(a_job())
    await encode(queue)
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
