"""A running service as its clients see it: each method a request, answers as the API defines them.

Comes back where a connection is lost while a job is followed, a picture is fetched, or a job may
have been accepted without our knowing; tries nothing else twice.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.answers import ImageAnswer, ImageInProgress, JobAnswer, JobList
from app.client.errors import Refused, RefusedField, Unreachable
from app.client.sse import ServerSentEvent, read_events

Answer = TypeVar("Answer", bound=BaseModel)

TIMEOUT = httpx.Timeout(30.0, connect=10.0)

TIMEOUT_OF_EVENTS = httpx.Timeout(45.0, connect=10.0)
"""The service says something every 15 s to who follows a job."""

PATIENCE_S = 60.0
"""Who has lost the connection tries again for so long, as long as events are kept."""
PAUSE_S = 1.0

PAGE = 100
"""The most jobs of one answer."""

PASSING = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
"""What is answered while a service, or its queue, starts again."""

AFTER_IT_IS_SENT = (
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.RemoteProtocolError,
)
"""Or while it is."""

Happening = JobAnswer | ImageAnswer | list[ImageInProgress]
"""The job as it stands, a finished picture, or those under way."""

_UNDER_WAY = TypeAdapter(list[ImageInProgress])


class Service:
    """The service at a URL. To be closed, as a context.

    key: goes with every request but those for pictures, whose URLs are secrets of their own.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        """url: begins with http:// or https://."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            auth=None if key is None else _sends(key),
            timeout=TIMEOUT,
            follow_redirects=True,
            trust_env=not _is_here(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def generate(self, request: Mapping[str, object]) -> JobAnswer:
        """A new job, one even where the answer is lost. request: as POST /generate has it.

        Raises, as every method: Refused, Unreachable.
        """
        # As ASCII, which says what no text may hold, too: the service tells what is wrong with it.
        body = json.dumps(request)
        headers = {"content-type": "application/json", "idempotency-key": uuid4().hex}

        def ask() -> httpx.Response:
            return self._ask("POST", "/generate", content=body, headers=headers)

        return self._read(JobAnswer, _insist(ask, _answer_is_lost))

    def job(self, job_id: str) -> JobAnswer:
        """The job as it stands."""
        return self._read(JobAnswer, self._ask("GET", _path(job_id)))

    def cancel(self, job_id: str) -> JobAnswer:
        """The job, which has ended."""
        return self._read(JobAnswer, self._ask("POST", f"{_path(job_id)}/cancel"))

    def delete(self, job_id: str) -> JobAnswer:
        """What is left of the job."""
        return self._read(JobAnswer, self._ask("DELETE", _path(job_id)))

    def jobs(self, most: int | None = None, **wanted: str) -> Iterator[JobAnswer]:
        """The newest first. most: None is all. wanted: by `status`, by `prompt`."""
        return islice(self._jobs(PAGE if most is None else min(most, PAGE), wanted), most)

    def picture(self, image: ImageAnswer) -> bytes:
        """The PNG."""
        return _insist(lambda: self._ask("GET", image.url, auth=None), may_pass).content

    def follow(self, job: JobAnswer) -> Iterator[Happening]:
        """What happens to the job until its end; the last of it is the job, which has ended.

        Raises: Unreachable where the connection is lost for PATIENCE_S.
        """
        last_id: str | None = None
        give_up_at_s: float | None = None
        while True:
            with suppress(_ConnectionLost):
                for event in self._events(job.urls.events, last_id):
                    last_id, give_up_at_s = event.id, None
                    if (happening := self._happening(event)) is not None:
                        yield happening
                    if event.name == "end":
                        return
            give_up_at_s = give_up_at_s or time.monotonic() + PATIENCE_S
            if time.monotonic() > give_up_at_s:
                raise Unreachable(
                    f"the connection to {self.url} is lost, and job {job.id} may go on: "
                    f"`imagen jobs watch {job.id}` looks again"
                )
            time.sleep(PAUSE_S)

    def _jobs(self, page: int, wanted: Mapping[str, str]) -> Iterator[JobAnswer]:
        jobs = self._read(JobList, self._ask("GET", "/jobs", params={**wanted, "limit": page}))
        yield from jobs.jobs
        while jobs.next is not None:
            jobs = self._read(JobList, self._ask("GET", jobs.next))
            yield from jobs.jobs

    def _events(self, url: str, last_id: str | None) -> Iterator[ServerSentEvent]:
        """Until the connection ends. Raises: _ConnectionLost, Refused."""
        try:
            with self._http.stream(
                "GET",
                url,
                params={"previews": "false"},
                headers={} if last_id is None else {"last-event-id": last_id},
                timeout=TIMEOUT_OF_EVENTS,
            ) as response:
                if response.status_code in PASSING:
                    raise _ConnectionLost
                if not response.is_success:
                    response.read()
                    raise _refused(response)
                yield from read_events(response.iter_bytes())
        except httpx.RequestError as error:
            raise _ConnectionLost from error

    def _happening(self, event: ServerSentEvent) -> Happening | None:
        """None for what we know nothing of."""
        try:
            match event.name:
                case "state" | "end":
                    return JobAnswer.model_validate_json(event.data)
                case "image":
                    return ImageAnswer.model_validate_json(event.data)
                case "progress":
                    return _UNDER_WAY.validate_json(event.data)
                case _:
                    return None
        except ValidationError as error:
            raise self._not_ours() from error

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            response = self._http.request(method, url, **more)
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self.url} does not answer in time; try again") from error
        except httpx.RequestError as error:
            raise Unreachable(
                f"{self.url} cannot be reached: {error}; start it with `imagen serve`, or say "
                "where it is with --url or IMAGEN_URL"
            ) from error
        if not response.is_success:
            raise _refused(response)
        return response

    def _read(self, kind: type[Answer], response: httpx.Response) -> Answer:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise self._not_ours() from error

    def _not_ours(self) -> Unreachable:
        return Unreachable(
            f"what answers at {self.url} is not this service, or another version of it"
        )


class _ConnectionLost(Exception):
    """Or not to be had just now: soon it may be."""


def _insist(
    ask: Callable[[], httpx.Response], is_worth_it: Callable[[Unreachable | Refused], bool]
) -> httpx.Response:
    """Asks again where the first error is worth it, until one comes that does not pass.

    Raises: Refused, Unreachable, after PATIENCE_S at the latest.
    """
    give_up_at_s: float | None = None
    while True:
        try:
            return ask()
        except (Unreachable, Refused) as error:
            if not is_worth_it(error):
                raise
            give_up_at_s = give_up_at_s or time.monotonic() + PATIENCE_S
            if time.monotonic() > give_up_at_s:
                raise
        is_worth_it = may_pass
        time.sleep(PAUSE_S)


def may_pass(error: Unreachable | Refused) -> bool:
    """Whether asking again in a while is likely to help."""
    if isinstance(error, Refused):
        return error.status in PASSING
    return isinstance(error.__cause__, httpx.TransportError)


def _answer_is_lost(error: Unreachable | Refused) -> bool:
    """What was asked may have been done."""
    if isinstance(error, Refused):
        return error.status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
    return isinstance(error.__cause__, AFTER_IT_IS_SENT)


def _sends(key: str) -> Callable[[httpx.Request], httpx.Request]:
    def send(request: httpx.Request) -> httpx.Request:
        request.headers["authorization"] = f"Bearer {key}"
        return request

    return send


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _is_here(url: str) -> bool:
    """No proxy leads to this machine's own addresses, whatever the environment says."""
    return httpx.URL(url).host in ("localhost", "127.0.0.1", "::1")


def _refused(response: httpx.Response) -> Refused:
    """The problem document, or what there is instead, from a proxy for one."""
    try:
        problem = response.json()
        fields = problem.get("errors") or ()
        return Refused(
            response.status_code,
            str(problem["detail"]),
            problem.get("remedy"),
            tuple(RefusedField(each["field"], each["problem"], each["remedy"]) for each in fields),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Refused(response.status_code, _reason(response))


def _reason(response: httpx.Response) -> str:
    return f"{response.url} answers {response.status_code} {response.reason_phrase}".rstrip()
