"""Every error as application/problem+json (RFC 9457): one table from exception to status."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.quotas import DETAILS, refusal_headers
from workers.jobs.admission import QuotaExceeded
from workers.jobs.errors import (
    ImagenError,
    ImageNotFound,
    ImageStoreUnavailable,
    JobNotFound,
    NoCard,
    OtherContract,
    QueueUnavailable,
    RequestKeyReused,
)
from workers.jobs.events import NothingMore

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER_S = 2

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

log = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one field of a request, and what to do about it."""

    field: str
    problem: str
    remedy: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with the remedy where there is one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "the request has fields that cannot be used: steps[1]",
                    "errors": [
                        {
                            "field": "steps[1]",
                            "problem": "is too large",
                            "remedy": "use a whole number from 1 to 250",
                        }
                    ],
                }
            ]
        }
    )

    type: str = "about:blank"
    """Always about:blank: the status says what kind of problem it is."""
    title: str
    status: int
    detail: str
    remedy: str | None = None
    errors: tuple[FieldProblem, ...] | None = None
    """With 422: every field that was refused."""


class RequestError(ImagenError):
    """What only a request can be guilty of.

    RequestError
    ├── NoApiKey          what it asks for needs a key, and it has none
    ├── WrongApiKey       its key is none of ours
    ├── InvalidRequest    fields that cannot be used, each with its remedy
    ├── BodyTooLarge      more bytes than any valid request has
    ├── NotJson           a body of another content type
    └── ModelNotFound     app/openai/errors.py: a model that is not served
    """


class NoApiKey(RequestError):
    """What it asks for needs a key, and it has none."""


class WrongApiKey(RequestError):
    """Its key is none of ours. Whether made up, mistyped or revoked is not told."""


class InvalidRequest(RequestError):
    """Fields that cannot be used; all of them, not only the first."""

    def __init__(self, problems: Sequence[FieldProblem], untold: int = 0) -> None:
        """untold: how many more there are than anyone would read."""
        more = [f"and {untold} more"] if untold else []
        super().__init__(", ".join([*(problem.field for problem in problems), *more]))
        self.problems = tuple(problems)


class BodyTooLarge(RequestError):
    """More bytes than any valid request has."""


class NotJson(RequestError):
    """A body of another content type."""


class Kind(NamedTuple):
    """How an exception is told. Never its own text, which may name hosts and paths of ours."""

    status: int
    detail: str
    remedy: str | None = None


KEY_REMEDY = (
    "send the header `authorization: Bearer KEY`; whoever runs the service makes a key with "
    "`imagen keys make NAME`"
)

KINDS: Mapping[type[ImagenError], Kind] = {
    NoApiKey: Kind(401, "this needs an API key", KEY_REMEDY),
    WrongApiKey: Kind(401, "the API key is not known here", KEY_REMEDY),
    JobNotFound: Kind(
        404,
        "there is no job of this id",
        "take the id from the answer to POST /generate; the record of an ended job is kept "
        "for a limited time",
    ),
    OtherContract: Kind(
        503,
        "another version of this service has accepted the job, and this one cannot read it",
        "ask again: while the service is upgraded, another of its processes answers",
    ),
    ImageNotFound: Kind(
        404, "there is no such image", "take the URL from `images` in the job, as it is"
    ),
    BodyTooLarge: Kind(413, "the body is too large", "send a shorter prompt"),
    NotJson: Kind(415, "the body is not JSON", "send the header `content-type: application/json`"),
    InvalidRequest: Kind(422, "the request has fields that cannot be used"),
    NoCard: Kind(503, "no worker is there to draw", "start one with `imagen worker`"),
    RequestKeyReused: Kind(
        422,
        "this Idempotency-Key came with another request before",
        "use a new key for a new request",
    ),
    QuotaExceeded: Kind(
        429, "a quota has no room", "try again after the seconds in Retry-After, or ask for fewer"
    ),
    ImageStoreUnavailable: Kind(
        503, "the image store is not available", "try again soon; the server's log has the cause"
    ),
    QueueUnavailable: Kind(
        503,
        "the queue cannot be reached",
        "try again soon; where it lasts, check the Redis that IMAGEN_REDIS_URL names",
    ),
}


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""
    for kind in KINDS:
        app.add_exception_handler(kind, _answer_known)
    app.add_exception_handler(NothingMore, _answer_nothing_more)
    app.add_exception_handler(RequestValidationError, _answer_unreadable)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_bug)


async def _answer_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImagenError)
    kind = KINDS[type(error)]
    detail, headers, errors = kind.detail, None, None
    if isinstance(error, InvalidRequest):
        detail, errors = f"{detail}: {error}", error.problems
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        headers = {"Retry-After": str(RETRY_AFTER_S)}
    elif kind.status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, QuotaExceeded):
        detail = DETAILS[error.quota]
        headers = refusal_headers(request.app.state.services.settings.quotas, error)
    return _response(kind.status, detail, kind.remedy, errors, headers)


async def _answer_nothing_more(request: Request, error: Exception) -> Response:
    """By the specification of server-sent events, what tells a client not to come back."""
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _answer_unreadable(request: Request, error: Exception) -> Response:
    """A header or a part of the path that FastAPI refuses: loc is (where, name, ...)."""
    assert isinstance(error, RequestValidationError)
    problems = [
        FieldProblem(field=str(each["loc"][1]), problem=each["msg"], remedy="see /docs")
        for each in error.errors()
    ]
    return await _answer_known(request, InvalidRequest(problems))


async def _answer_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    remedy, headers = None, error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        remedy = "/docs lists the paths there are"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = _methods_of_path(request)
        remedy, headers = f"use {' or '.join(allowed)}", {"Allow": ", ".join(allowed)}
    return _response(error.status_code, error.detail, remedy, headers=headers)


def _methods_of_path(request: Request) -> list[str]:
    """Each of several routes that share a path knows only its own."""

    def has(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if has(method)]


async def _answer_bug(request: Request, error: Exception) -> Response:
    """The server logs the traceback; the client is told nothing of our insides."""
    return _response(500, "the service has met a bug of its own", "the server's log has the cause")


def _response(
    status: int,
    detail: str,
    remedy: str | None,
    errors: tuple[FieldProblem, ...] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, remedy=remedy, errors=errors
    )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, status, headers, media_type=PROBLEM_TYPE)
