"""What FastAPI cannot see for itself: problems, headers, links, and what we read on our own."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.errors import KINDS, PROBLEM_TYPE, Problem
from app.openai.answers import CompletedEvent, ErrorAnswer, ErrorEvent, PartialImageEvent
from app.openai.request import ImageRequest
from app.orders.request import GenerateRequest

REFERENCE = "#/components/schemas/{model}"

BY_REFERENCE: tuple[type[BaseModel], ...] = (
    Problem,
    GenerateRequest,
    ImageRequest,
    ErrorAnswer,
    PartialImageEvent,
    CompletedEvent,
    ErrorEvent,
)
"""What routes name, and FastAPI does not see."""

Responses = dict[int | str, dict[str, Any]]

HEADERS: Mapping[str, str] = {
    "Allow": "With 405: the methods of this path.",
    "Cache-Control": "For how long the answer may be kept, and by whom.",
    "ETag": "The hash of the picture.",
    "Idempotent-Replayed": "`true` where the Idempotency-Key had come before: no new job.",
    "Location": "The job's URL; with 307 the picture's, for a while.",
    "Preference-Applied": "`wait=N` where the request preferred to wait: the longest that it did.",
    "RateLimit": "What is left of each quota, where there are any; see RateLimit-Policy.",
    "RateLimit-Policy": "The quotas, in images (draft-ietf-httpapi-ratelimit-headers).",
    "Retry-After": "Seconds after which it is worth trying again.",
    "WWW-Authenticate": "`Bearer`: how a key is sent.",
    "X-Accel-Buffering": "With server-sent events: `no`, for a proxy that would hold them back.",
    "X-Content-Type-Options": "`nosniff`",
    "X-Should-Retry": "`false`: the same request would end the same.",
}

QUOTA_HEADERS = ("RateLimit", "RateLimit-Policy")

JOB_LINKS: Mapping[str, Any] = {
    name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}}
    for name in ("read_job", "cancel_job", "delete_job")
} | {
    "read_image": {
        "operationId": "read_image",
        "description": "Of a job with pictures, the first; its URL is in the answer, too.",
        "parameters": {
            "job_id": "$response.body#/id",
            "index": "$response.body#/images/0/index",
        },
    }
}
"""From the answer that is a job to what can be done with it. An operation is named as its route."""


class Api(FastAPI):
    """FastAPI, whose document has the schemas that routes name by reference."""

    def __init__(self, **settings: Any) -> None:
        # A path with a slash too many is none of ours, and is no reason to send a client around.
        super().__init__(
            docs_url=None,  # app.routes.docs has a page that asks no other host
            redoc_url=None,
            redirect_slashes=False,
            generate_unique_id_function=lambda route: route.name,
            **settings,
        )

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"].update(_schemas())
            for operations in document["paths"].values():
                for operation in operations.values():
                    for parameter in operation.get("parameters", ()):
                        if parameter["in"] == "header":
                            parameter["schema"] = _as_text(parameter["schema"])
        return super().openapi()


def json_request(model: str) -> dict[str, Any]:
    """For `openapi_extra`: a JSON body of this schema."""
    return {"requestBody": {"required": True, "content": {"application/json": _schema(model)}}}


def headers(*always: str, sometimes: tuple[str, ...] = ()) -> dict[str, Any]:
    """For a response in `responses`: its headers, by name."""
    return {
        name: {
            "description": HEADERS[name],
            "required": name in always,
            "schema": {"type": "string"},
        }
        for name in (*always, *sometimes)
    }


def problems(*statuses: int) -> Responses:
    """For `responses`: the problems a route may answer with; all others come as the default."""
    described: dict[int | str, str] = {status: _details(status) for status in statuses}
    described["default"] = (
        "any other problem: 400 for a body that ended early, 405 for a method that this path has "
        "not, 500 for a bug of the service"
    )
    return {
        status: {
            "description": description,
            "headers": _problem_headers(status),
            "content": {PROBLEM_TYPE: _schema("Problem")},
        }
        for status, description in described.items()
    }


def _problem_headers(status: int | str) -> dict[str, Any]:
    match status:
        case 401:
            return headers("WWW-Authenticate")
        case 429:
            return headers("Retry-After", sometimes=QUOTA_HEADERS)
        case 503:
            return headers("Retry-After")
        case "default":
            return headers(sometimes=("Allow",))
        case _:
            return {}


def _details(status: int) -> str:
    return ", or ".join(kind.detail for kind in KINDS.values() if kind.status == status)


def _as_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A header that may come more than once is no array to who writes it, and none is null."""
    kind = next(each for each in schema.get("anyOf", [schema]) if each["type"] != "null")
    text: dict[str, Any] = dict(kind.get("items", kind))
    if "examples" in schema:
        text["examples"] = [", ".join(values) for values in schema["examples"]]
    return text


def _schema(model: str) -> dict[str, Any]:
    return {"schema": {"$ref": REFERENCE.format(model=model)}}


def _schemas() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(model, "validation") for model in BY_REFERENCE], ref_template=REFERENCE
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
