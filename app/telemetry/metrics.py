"""What the API counts and measures, for GET /metrics. No label tells who asks, or for what."""

from collections.abc import Awaitable
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import METHODS, BodyTooLarge, InvalidRequest, NotJson
from app.quotas import DETAILS
from app.telemetry.queue_metrics import QueueMetrics
from app.webhooks.courier import Outcome
from workers.jobs.admission import QuotaExceeded
from workers.jobs.depths import Depths
from workers.jobs.errors import ImagenError, NoCard, QueueUnavailable, RequestKeyReused
from workers.jobs.job import Priority
from workers.jobs.ledger import Accepted

REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of the histogram; an answer waits for a job for a minute at most, by default."""

NO_ROUTE, NO_STATUS, OTHER_METHOD = "none", "none", "other"

REFUSALS = (NoCard, QueueUnavailable, InvalidRequest, NotJson, BodyTooLarge, RequestKeyReused)
"""For what a job is refused, beside the quotas."""


class ApiMetrics:
    """One set per app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Histogram(
            "imagen_http_request_seconds",
            "From a request to the end of its answer, by the path of its route.",
            ("method", "route", "status"),
            buckets=REQUEST_S,
            registry=registry,
        )
        self.bugs = Counter(
            "imagen_http_bugs",
            "Requests that met a bug of ours.",
            registry=registry,
        )
        self.in_flight = Gauge(
            "imagen_http_requests_in_flight",
            "Requests that are being answered, those who wait and follow among them.",
            registry=registry,
        )
        self.followers = Gauge(
            "imagen_event_followers",
            "Clients that follow the events of a job.",
            registry=registry,
        )
        self._accepted = Counter(
            "imagen_jobs_accepted",
            "Jobs accepted; a request sent again under its Idempotency-Key is none.",
            ("priority",),
            registry=registry,
        )
        self._refused = Counter(
            "imagen_jobs_refused",
            "Requests for a job that were refused, by the quota or the error.",
            ("reason",),
            registry=registry,
        )
        self._webhooks = Counter(
            "imagen_webhook_deliveries",
            "Attempts to deliver a webhook, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        self._queue = QueueMetrics()
        registry.register(self._queue)
        for priority in Priority:  # or an alert on its rate would miss the first
            self._accepted.labels(priority)
        for reason in (*DETAILS, *map(_name, REFUSALS)):
            self._refused.labels(reason)
        for outcome in Outcome:
            self._webhooks.labels(outcome)

    async def counted(self, accepting: Awaitable[Accepted]) -> Accepted:
        """Lets a job be accepted, and counts whether it was."""
        try:
            accepted = await accepting
        except ImagenError as error:
            self._refused.labels(_reason(error)).inc()
            raise
        if not accepted.repeated:
            self._accepted.labels(accepted.job.priority).inc()
        return accepted

    def webhook(self, outcome: Outcome) -> None:
        """An attempt to deliver a webhook has ended so."""
        self._webhooks.labels(outcome).inc()

    def exposition(self, accept: str, depths: Depths | None) -> tuple[bytes, str]:
        """All of them as text, and its media type: Prometheus's own or OpenMetrics.

        accept: the header. depths: those of the queue now; None where it is away.
        """
        encode, media_type = choose_encoder(accept)
        self._queue.depths = depths
        return encode(self._registry), media_type


class RequestMeter:
    """ASGI middleware that measures every request."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = NO_STATUS

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        started_s = perf_counter()
        try:
            with self._metrics.in_flight.track_inprogress():
                await self._app(scope, receive, note_status)
        except Exception:  # a bug: what is outside of us answers it
            self._metrics.bugs.inc()
            status = "500" if status == NO_STATUS else status
            raise
        finally:
            took_s = perf_counter() - started_s
            self._metrics.requests.labels(*_what(scope), status).observe(took_s)


def _what(scope: Scope) -> tuple[str, str]:
    """Method and route, of which there are as many as we have; a path is the client's to choose."""
    method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
    return method, getattr(scope.get("route"), "path", NO_ROUTE)


def _reason(error: ImagenError) -> str:
    """As many as there are quotas and errors: owner_queued, no_card."""
    if isinstance(error, QuotaExceeded):
        return error.quota
    return _name(type(error))


def _name(kind: type[ImagenError]) -> str:
    """In lower case, as labels are: no_card."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__)[1:]
