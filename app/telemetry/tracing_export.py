"""Sends spans to an OTLP receiver by HTTP, with OpenTelemetry's SDK: the extra `tracing`."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
)

LAST_SPANS_S = 1.0
"""A process that ends waits for its receiver no longer: one that is away would keep it for 30 s."""

QUERY = "url.query"


class WithoutQueries(SpanProcessor):
    """Takes the query out of a request's span: what someone looks for among prompts is theirs."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.attributes and QUERY in span.attributes:
            span.set_attribute(QUERY, "REDACTED")


@contextmanager
def sending(process: str, exporter: str) -> Generator[None]:
    """For the whole process, and once. exporter: otlp or console.

    Where to, and how: OTEL_EXPORTER_OTLP_*; called what: OTEL_SERVICE_NAME, else imagen-PROCESS.
    """
    name = os.environ.get("OTEL_SERVICE_NAME") or f"imagen-{process}"
    resource = Resource.create({SERVICE_NAME: name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(WithoutQueries())
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter())
        if exporter == "otlp"
        else SimpleSpanProcessor(ConsoleSpanExporter())
    )
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        last = Thread(target=provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(LAST_SPANS_S)
