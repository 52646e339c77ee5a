"""Traces as the API has them: a request's span, and the context that goes with a job to a worker.

Knows no exporter: without a TracerProvider of OpenTelemetry's SDK there are no spans, and who
called is passed on all the same.
"""

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import context, trace
from opentelemetry.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

W3C = TraceContextTextMapPropagator()

UNTRACED = ("/livez", "/readyz", "/metrics")
"""Asked all the time, and of no interest to anyone's trace."""


def telemetry(spans: TracerProvider | None) -> TelemetryConfig:
    """What FastAPI itself is to tell: one span for a request. Numbers and logs are ours."""
    return TelemetryConfig(
        tracer_provider=spans,
        metrics=False,
        logs=False,
        operation_spans=False,
        auto_configure=False,
        exclude=_is_untraced,
    )


class TraceContext:
    """ASGI middleware: where no span was begun for a request, its sender's is the current one.

    By the header traceparent of W3C Trace Context; one that is malformed is ignored, as the
    recommendation demands.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or trace.get_current_span().get_span_context().is_valid:
            await self._app(scope, receive, send)
            return
        token = context.attach(W3C.extract(Headers(scope=scope)))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)


def current_traceparent() -> str | None:
    """The span that a job which is asked for now is part of, as Job.traceparent has it."""
    carrier: dict[str, str] = {}
    W3C.inject(carrier)
    return carrier.get("traceparent")


def _is_untraced(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"] in UNTRACED
