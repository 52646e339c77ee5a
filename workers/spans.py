"""Spans of OpenTelemetry, one for each task from its claim to its end, in the trace of its job.

Knows no exporter: where no TracerProvider was set up, it costs next to nothing.
"""

from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from workers.jobs.job import TEXT_STAGE, Task

W3C = TraceContextTextMapPropagator()


class TaskSpans:
    """Those of the tasks that a worker has. Attributes as OpenTelemetry's messaging conventions."""

    def __init__(self, spans: TracerProvider | None = None) -> None:
        """spans: where they go; None is the process's own provider."""
        self._tracer = get_tracer("imagen.worker", tracer_provider=spans)
        self._open: dict[str, Span] = {}

    def begin(self, task: Task) -> None:
        parent = {} if task.traceparent is None else {"traceparent": task.traceparent}
        self._open[task.key] = self._tracer.start_span(
            f"process {task.stage}",
            context=W3C.extract(parent),
            kind=SpanKind.CONSUMER,
            attributes=_attributes(task),
        )

    def end(self, task: Task, outcome: str, error: str | None = None) -> None:
        """error: a code, where it failed. A task that was never begun is not missed."""
        span = self._open.pop(task.key, None)
        if span is None:
            return
        span.set_attribute("imagen.outcome", outcome)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end()


def _attributes(task: Task) -> dict[str, str | int]:
    worker, _, _ = task.token.rpartition("/")
    attributes: dict[str, str | int] = {
        "messaging.system": "redis",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": task.stage,
        "messaging.message.id": task.name,
        "messaging.client.id": worker,
        "imagen.job": task.job_id,
        "imagen.stage": task.stage,
        "imagen.deliveries": task.deliveries,
    }
    if task.stage != TEXT_STAGE:
        attributes["imagen.image"] = task.image
    return attributes
