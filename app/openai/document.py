"""What FastAPI cannot see of /v1, for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from app.openai.answers import CompletedEvent, ErrorAnswer, ErrorEvent, PartialImageEvent
from app.openapi import QUOTA_HEADERS, REFERENCE, Responses, headers, problems

EVENTS: tuple[type[BaseModel], ...] = (PartialImageEvent, CompletedEvent, ErrorEvent)


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


ENVELOPE = {"content": {"application/json": {"schema": _reference(ErrorAnswer)}}}

STREAM: dict[str, Any] = {
    "event": {"type": "string"},
    "data": {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"oneOf": [_reference(event) for event in EVENTS]},
    },
}
"""An event's properties."""

OF_A_JOB = headers("Cache-Control", "Location", sometimes=QUOTA_HEADERS)
OF_ITS_END = headers("Cache-Control", "Location", "X-Should-Retry", sometimes=QUOTA_HEADERS)


def errors(*statuses: int) -> Responses:
    """For `responses`, as app.openapi.problems."""
    return {status: {**each, **ENVELOPE} for status, each in problems(*statuses).items()}


NO_MODEL: Responses = {404: {"description": "there is no such model here", **ENVELOPE}}

DRAWN: Responses = {
    200: {
        "headers": OF_A_JOB | headers(sometimes=("X-Accel-Buffering",)),
        "content": {"text/event-stream": {"itemSchema": {"type": "object", "properties": STREAM}}},
    },
    **errors(413, 415, 429),
    **NO_MODEL,
    503: {
        **errors(503)[503],
        "headers": headers("Retry-After", sometimes=tuple(OF_A_JOB)),
    },
    400: {
        "description": "the request has fields that cannot be used, or a safety checker has made "
        "every picture black: code `content_policy_violation`",
        "headers": headers(sometimes=tuple(OF_ITS_END)),
        **ENVELOPE,
    },
    409: {"description": "the job was canceled", "headers": OF_ITS_END, **ENVELOPE},
    500: {
        "description": "the job has failed, and `code` is that of its error; or a bug of the "
        "service",
        "headers": headers(sometimes=tuple(OF_ITS_END)),
        **ENVELOPE,
    },
    504: {"description": "the job's deadline has passed", "headers": OF_ITS_END, **ENVELOPE},
}
