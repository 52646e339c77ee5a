"""What the processes of a service log, and how: a line for people, or one JSON object for programs.

Whoever logs says what a line is about in `extra`, see workers/jobs/log_fields.py.
"""

import logging
import sys
from typing import Annotated, Literal, TextIO

from opentelemetry import trace
from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from workers.jobs.job import JobStatus

FIELDS = {"levelname": "level", "name": "logger", "message": "message"}
"""Of a record, and what they are called in JSON."""


class LogSettings(BaseSettings):
    """Frozen. Read from the environment when it is made, never at import."""

    model_config = SettingsConfigDict(env_prefix="IMAGEN_", frozen=True, extra="ignore")

    log_format: Literal["text", "json"] = "text"
    """A line for people, or one JSON object for programs."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda level: str(level).lower()),
    ] = "info"
    """The least that is logged."""


def set_up(process: str, settings: LogSettings) -> None:
    """Once a process: everything that is logged in it, Python's warnings too, goes to stderr."""
    logging.basicConfig(
        handlers=[handler(process, settings, sys.stderr)], level=settings.log_level.upper()
    )
    logging.captureWarnings(True)
    # Else they tell of every look at /readyz, and of every span.
    for library in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)


def handler(process: str, settings: LogSettings, stream: TextIO) -> logging.Handler:
    """Writes to the stream. process: api, worker, or imagen for who starts both."""
    made = logging.StreamHandler(stream)
    if settings.log_format == "json":
        made.setFormatter(_json(process))
        made.addFilter(_with_trace)
    else:
        line = f"%(asctime)s {process:<6} %(levelname)-7s %(message)s"
        made.setFormatter(logging.Formatter(line, "%H:%M:%S"))
        made.addFilter(_is_for_people)
    return made


def _json(process: str) -> logging.Formatter:
    return JsonFormatter(
        list(FIELDS),
        rename_fields={**FIELDS, "exc_info": "exception"},
        static_fields={"process": process},
        timestamp="time",
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message again
    )


def _with_trace(record: logging.LogRecord) -> bool:
    """What is logged for a request belongs to its trace."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid and not hasattr(record, "trace"):
        record.trace = trace.format_trace_id(span.trace_id)
    return True


def _is_for_people(record: logging.LogRecord) -> bool:
    """A job is told of once, when it has ended: not when it is accepted as well."""
    return getattr(record, "status", None) is not JobStatus.QUEUED
