"""Who called goes with the job, with and without spans of our own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from httpx import ASGITransport, AsyncClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
from redis.asyncio import Redis

from app.main import create_app
from app.settings import ApiSettings
from app.telemetry.tracing_export import WithoutQueries
from tests.app.conftest import PlayedWorker, free_port
from workers.jobs.job import Job
from workers.jobs.ledger import Ledger

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def ledger(redis: Redis, settings: ApiSettings) -> Ledger:
    return Ledger(redis, settings)


class Traced:
    """A client of an app whose spans can be read."""

    def __init__(self, client: AsyncClient, exporter: InMemorySpanExporter) -> None:
        self.client = client
        self._exporter = exporter

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


@asynccontextmanager
async def traced(settings: ApiSettings) -> AsyncGenerator[Traced]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(WithoutQueries())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(settings, provider)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://imagen.test") as client,
    ):
        yield Traced(client, exporter)


async def ask(client: AsyncClient, ledger: Ledger, traceparent: str | None) -> Job:
    """The job that a request with this header has become."""
    headers = {} if traceparent is None else {"traceparent": traceparent}
    answer = await client.post("/generate", json={"prompt": "a cat"}, headers=headers)
    assert answer.status_code == 202
    return await ledger.job(answer.json()["id"])


@pytest.mark.usefixtures("served")
async def test_without_spans_who_called_goes_with_the_job(
    client: AsyncClient, ledger: Ledger
) -> None:
    assert (await ask(client, ledger, TRACEPARENT)).traceparent == TRACEPARENT
    assert (await ask(client, ledger, None)).traceparent is None


@pytest.mark.usefixtures("served")
async def test_so_it_does_from_a_client_of_openai(
    client: AsyncClient, ledger: Ledger, worker: PlayedWorker
) -> None:
    path, headers = "/v1/images/generations", {"traceparent": TRACEPARENT}
    answer, _ = await asyncio.gather(
        client.post(path, json={"prompt": "a cat"}, headers=headers), worker.draw()
    )
    job_id = answer.headers["location"].rpartition("/")[2]
    assert (await ledger.job(job_id)).traceparent == TRACEPARENT


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "a cat",
        f"00-{TRACE}-{SPAN}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
async def test_a_malformed_header_is_ignored(
    client: AsyncClient, ledger: Ledger, malformed: str
) -> None:
    assert (await ask(client, ledger, malformed)).traceparent is None


@pytest.mark.usefixtures("served")
async def test_a_request_is_a_span_of_its_callers_trace(
    settings: ApiSettings, ledger: Ledger
) -> None:
    async with traced(settings) as app:
        job = await ask(app.client, ledger, TRACEPARENT)
        (span,) = app.spans()
    assert (span.name, span.kind) == ("POST /generate", SpanKind.SERVER)
    assert span.parent is not None
    assert format_span_id(span.parent.span_id) == SPAN
    assert span.context is not None
    assert format_trace_id(span.context.trace_id) == TRACE
    assert job.traceparent == f"00-{TRACE}-{format_span_id(span.context.span_id)}-01"


@pytest.mark.usefixtures("served")
async def test_what_is_not_sampled_stays_so(settings: ApiSettings, ledger: Ledger) -> None:
    async with traced(settings) as app:
        job = await ask(app.client, ledger, f"00-{TRACE}-{SPAN}-00")
        assert app.spans() == []
    assert job.traceparent is not None
    assert job.traceparent.startswith(f"00-{TRACE}-")
    assert job.traceparent.endswith("-00")


async def test_no_span_tells_what_someone_looks_for(settings: ApiSettings, redis: Redis) -> None:
    async with traced(settings) as app:
        await app.client.get("/jobs", params={"prompt": "xyzzy"})
        (span,) = app.spans()
    assert "xyzzy" not in span.to_json()


async def test_probes_and_scrapes_are_no_spans(settings: ApiSettings, redis: Redis) -> None:
    async with traced(settings) as app:
        for path in ("/livez", "/readyz", "/metrics"):
            await app.client.get(path)
        assert app.spans() == []


def test_where_spans_cannot_be_sent_the_extra_is_named() -> None:
    """Before anything is served without them."""
    code = "import sys; sys.modules['opentelemetry.sdk'] = None; from app.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "api", "--port", str(free_port())],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "imagen-server[tracing]" in done.stderr
