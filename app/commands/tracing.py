"""Where the spans of a process go, as OpenTelemetry's own variables say."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from app.commands.outcome import WrongUsage

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"


@contextmanager
def traced_as(process: str) -> Generator[None]:
    """Within it spans are sent, where a variable says so; else there are none.

    Raises: WrongUsage where they cannot be sent.
    """
    exporter = _exporter()
    if exporter is None:
        yield
        return
    try:
        from app.telemetry.tracing_export import sending
    except ModuleNotFoundError as error:
        raise WrongUsage(
            f"{error}: what sends spans comes with `pip install 'imagen-server[tracing]'`; "
            f"{EXPORTER}=none sends none"
        ) from error
    with sending(process, exporter):
        yield


def _exporter() -> str | None:
    """otlp, console, or None for no spans."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    is_told_where = any(os.environ.get(name) for name in ENDPOINTS)
    named = os.environ.get(EXPORTER, "").strip().lower() or ("otlp" if is_told_where else "none")
    if named not in ("otlp", "console", "none"):
        raise WrongUsage(f"{EXPORTER}: use otlp, console or none")
    return None if named == "none" else named
