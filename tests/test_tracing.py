"""One trace from a client's span to the last stage of its picture, over API, queue and worker."""

import asyncio
from pathlib import Path

from httpx import ASGITransport, AsyncClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id
from redis.asyncio import Redis

from app.main import create_app
from app.settings import ApiSettings
from model.cascade import Cascade
from tests.serving import until_ready, worker_settings
from workers.compute import compute_thread
from workers.jobs.settings import QueueSettings
from workers.main import open_worker

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_span_id(span.context.span_id)


def parent_id(span: ReadableSpan) -> str:
    assert span.parent is not None
    assert format_trace_id(span.parent.trace_id) == TRACE
    return format_span_id(span.parent.span_id)


async def test_from_the_clients_span_to_the_last_stage(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(
        ApiSettings.model_validate({**queue_settings.model_dump(), "auth": "none"}), provider
    )
    settings = worker_settings(queue_settings, tiny_cascade)
    with compute_thread(1) as compute:
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://imagen") as client,
            open_worker(
                Cascade.load(tiny_cascade, "cpu,float32"), settings, compute, spans=provider
            ) as worker,
        ):
            running = asyncio.create_task(worker.run())
            await until_ready(client)
            answer = await client.post(
                "/generate",
                json={"prompt": "a cat", "n": 2},
                headers={"prefer": "wait=60", "traceparent": f"00-{TRACE}-{SPAN}-01"},
                timeout=90,
            )
            worker.stop()
            await running
    assert answer.json()["status"] == "succeeded"
    spans = exporter.get_finished_spans()
    (request,) = [span for span in spans if span.name == "POST /generate"]
    assert parent_id(request) == SPAN
    stages = [span for span in spans if span is not request]
    assert {parent_id(span) for span in stages} == {span_id(request)}
    names = sorted(span.name for span in stages)
    assert names == [*["process 16"] * 2, *["process 8"] * 2, "process text"]
