"""Errors below /v1, in OpenAI's envelope: app.errors' problems, and why a job has no pictures.

The openai package raises its own exceptions by status, and tries again after 409, 429 and 5xx.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from app.errors import (
    KINDS,
    RETRY_AFTER_S,
    InvalidRequest,
    NoApiKey,
    Problem,
    RequestError,
    WrongApiKey,
)
from app.openai.answers import ErrorAnswer, ErrorDetails
from workers.jobs.admission import QuotaExceeded
from workers.jobs.errors import ImagenError
from workers.jobs.job import Job, JobStatus

PREFIX = "/v1/"

Handler = Callable[[Request, Any], Response | Awaitable[Response]]

CODES: Mapping[type[Exception], str] = {
    NoApiKey: "invalid_api_key",
    WrongApiKey: "invalid_api_key",
    InvalidRequest: "invalid_value",
    QuotaExceeded: "rate_limit_exceeded",
}
"""What programs look at, where OpenAI's have a name for it."""


class ModelNotFound(RequestError):
    """A model that is not served."""

    def __init__(self, served: str) -> None:
        super().__init__(f"only {served} is served")
        self.served = served


@dataclass(frozen=True)
class Refusal:
    """Why there are no pictures. is_final: to ask once more would be of no use."""

    status: HTTPStatus
    details: ErrorDetails
    is_final: bool

    def response(self, headers: Mapping[str, str]) -> Response:
        """With what tells the client whether to try again by itself."""
        retry = (
            {"X-Should-Retry": "false"} if self.is_final else {"Retry-After": str(RETRY_AFTER_S)}
        )
        return _response(self.status, self.details, {**headers, **retry})


def refusal_of(job: Job) -> Refusal | None:
    """None where the job has a picture to show."""
    blocked = [image.blocked_by for image in job.images if image.blocked_by is not None]
    match job.status:
        case JobStatus.SUCCEEDED if len(blocked) < len(job.images):
            return None
        case JobStatus.SUCCEEDED:
            return _refusal(
                HTTPStatus.BAD_REQUEST,
                f"a safety checker has made every picture black ({blocked[0]}): "
                "ask for something else, or with another seed",
                "content_policy_violation",
            )
        case JobStatus.EXPIRED:
            return _refusal(
                HTTPStatus.GATEWAY_TIMEOUT,
                "the pictures were not done within deadline_s: allow more, or try again later",
                "deadline_passed",
            )
        case JobStatus.CANCELED:
            return _refusal(HTTPStatus.CONFLICT, "the job was canceled: ask again", "job_canceled")
        case JobStatus.QUEUED | JobStatus.RUNNING:
            return _refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the service stops, and the job with it: ask again soon",
                "service_stopping",
                is_final=False,
            )
        case JobStatus.FAILED:
            assert job.error is not None
            return _refusal(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"the job has failed: {job.error.message}",
                job.error.code,
            )


def details_of(error: ImagenError) -> ErrorDetails:
    """Of an error that app.errors knows, for a stream that has begun."""
    kind = KINDS[type(error)]
    return _details(kind.status, _sentence(kind.detail, kind.remedy))


def install(app: FastAPI) -> None:
    """Puts what the app answers to errors below /v1 in OpenAI's words. After app.errors.install."""
    for kind, answer in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _translated(answer))
    app.add_exception_handler(ModelNotFound, _answer_no_model)


def _translated(answer: Handler) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        answered = answer(request, error)
        response = answered if isinstance(answered, Response) else await answered
        if not request.scope["path"].startswith(PREFIX):
            return response
        problem = Problem.model_validate_json(bytes(response.body))
        status = problem.status
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            status = HTTPStatus.BAD_REQUEST
        param = problem.errors[0].field if problem.errors else None
        details = _details(status, _message(problem), param, CODES.get(type(error)))
        told = ("content-type", "content-length")
        headers = {name: value for name, value in response.headers.items() if name not in told}
        return _response(status, details, headers)

    return handle


async def _answer_no_model(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModelNotFound)
    message = f'there is no such model here: use "{error.served}"'
    details = _details(HTTPStatus.NOT_FOUND, message, "model", "model_not_found")
    return _response(HTTPStatus.NOT_FOUND, details)


def _message(problem: Problem) -> str:
    if problem.errors is None:
        return _sentence(problem.detail, problem.remedy)
    return "; ".join(f"{each.field} {each.problem}: {each.remedy}" for each in problem.errors)


def _sentence(what: str, remedy: str | None) -> str:
    return what if remedy is None else f"{what}: {remedy}"


def _refusal(status: HTTPStatus, message: str, code: str, *, is_final: bool = True) -> Refusal:
    return Refusal(status, _details(status, message, code=code), is_final)


def _details(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> ErrorDetails:
    kind = "invalid_request_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "server_error"
    return ErrorDetails(message=message, type=kind, param=param, code=code)


def _response(
    status: int, details: ErrorDetails, headers: Mapping[str, str] | None = None
) -> Response:
    content = ErrorAnswer(error=details).model_dump_json()
    return Response(content, status, headers, media_type="application/json")
