"""A client on a real service: what it is told, and what becomes of a connection that is lost."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import JOB_EXAMPLE, ImageAnswer, JobAnswer
from app.client import service as client
from app.client.errors import Refused, Unreachable
from app.client.service import Happening, Service
from app.main import create_app
from app.settings import ApiSettings
from tests.app.conftest import CARD, PNG, PlayedWorker, free_port, show
from tests.app.listening import listening, listening_app

CAT = {"prompt": "a red\u2028cat", "size": 128}


class LosingAnswers:
    """ASGI middleware: the first answers below a path break off, when all is done."""

    def __init__(self, app: ASGIApp, path: str, answers: int) -> None:
        self._app = app
        self._path = path
        self._left = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._left or not scope.get("path", "").startswith(self._path):
            await self._app(scope, receive, send)
            return
        self._left -= 1

        async def send_nothing(message: Message) -> None:
            pass

        await self._app(scope, receive, send_nothing)
        headers = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def losing(settings: ApiSettings, answers: int, path: str) -> FastAPI:
    """An API that loses so many answers."""
    app = create_app(settings)
    app.add_middleware(LosingAnswers, path=path, answers=answers)
    return app


class Following:
    """A client that follows a job in a thread; what it is told is there when it is told."""

    def __init__(self, service: Service, job: JobAnswer) -> None:
        self.told: asyncio.Queue[Happening] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.create_task(asyncio.to_thread(self._follow, service, job))

    def _follow(self, service: Service, job: JobAnswer) -> None:
        for happening in service.follow(job):
            self._loop.call_soon_threadsafe(self.told.put_nowait, happening)

    async def rest(self) -> list[Happening]:
        """What it has been told in the end, without what was taken before."""
        await self._done
        return [self.told.get_nowait() for _ in range(self.told.qsize())]


async def test_a_job_is_followed_to_its_end(
    settings: ApiSettings, redis: Redis, worker: PlayedWorker
) -> None:
    show(settings, CARD)
    async with listening(settings) as url:
        with Service(url) as service:
            job = await asyncio.to_thread(service.generate, CAT)
            following = Following(service, job)
            assert await following.told.get() == job
            await worker.draw()
            *_, image, end = await following.rest()
    assert isinstance(end, JobAnswer)
    assert (end.status, end.parameters.prompt) == ("succeeded", CAT["prompt"])
    assert end.images == [image]


async def test_a_lost_connection_is_taken_up_again(
    settings: ApiSettings, redis: Redis, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another API at the same address: nothing is missed, and nothing told twice."""
    monkeypatch.setattr(client, "PAUSE_S", 0.05)
    show(settings, CARD)
    port = free_port()
    with Service(f"http://127.0.0.1:{port}") as service:
        async with listening(settings, port):
            job = await asyncio.to_thread(service.generate, CAT | {"n": 2})
            following = Following(service, job)
            assert await following.told.get() == job
            first = await worker.begin()
            await worker.finish(first)
            while not isinstance(one := await following.told.get(), ImageAnswer):
                pass
        second = await worker.begin_next(first)
        await worker.finish(second)
        async with listening(settings, port):
            rest = await following.rest()
    (other,) = [each for each in rest if isinstance(each, ImageAnswer)]
    assert [one.index, other.index] == [0, 1]
    assert isinstance(rest[-1], JobAnswer)
    assert rest[-1].status == "succeeded"


async def test_a_connection_may_stay_lost(
    settings: ApiSettings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    monkeypatch.setattr(client, "PATIENCE_S", 0.05)
    show(settings, CARD)
    async with listening(settings) as url:
        service = Service(url)
        job = await asyncio.to_thread(service.generate, CAT)
        following = Following(service, job)
        await following.told.get()
    with service, pytest.raises(Unreachable, match=f"`imagen jobs watch {job.id}` looks again"):
        await following.rest()


async def test_the_following_of_an_unknown_job_is_refused(
    settings: ApiSettings, redis: Redis
) -> None:
    async with listening(settings) as url:
        unknown = JobAnswer.model_validate(
            {**JOB_EXAMPLE, "urls": {**JOB_EXAMPLE["urls"], "events": f"{url}/jobs/0/events"}}
        )
        with Service(url) as service, pytest.raises(Refused, match="no job of this id"):
            await Following(service, unknown).rest()


async def test_an_answer_that_is_lost_is_not_a_second_job(
    settings: ApiSettings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    show(settings, CARD)
    async with listening_app(losing(settings, 2, "/generate")) as url:
        with Service(url) as service:
            job = await asyncio.to_thread(service.generate, CAT)
            other = await asyncio.to_thread(service.generate, CAT)
            there = await asyncio.to_thread(lambda: list(service.jobs()))
    assert [each.id for each in there] == [other.id, job.id]


async def test_a_picture_is_asked_for_again(
    settings: ApiSettings,
    redis: Redis,
    worker: PlayedWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    show(settings, CARD)
    async with listening_app(losing(settings, 2, "/images/")) as url:
        with Service(url) as service:
            job = await asyncio.to_thread(service.generate, CAT)
            await worker.draw()
            (image,) = (await asyncio.to_thread(service.job, job.id)).images
            assert await asyncio.to_thread(service.picture, image) == PNG


@pytest.mark.parametrize("path", ["/generate", "/images/"])
async def test_who_never_gets_an_answer_is_told(
    settings: ApiSettings,
    redis: Redis,
    worker: PlayedWorker,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    monkeypatch.setattr(client, "PATIENCE_S", 0.05)
    show(settings, CARD)
    async with listening_app(losing(settings, 10_000, path)) as url:
        with Service(url) as service:

            def ask() -> None:
                job = service.generate(CAT)
                image = JOB_EXAMPLE["images"][0] | {"url": f"{url}/images/{job.id}/0.png"}
                service.picture(ImageAnswer.model_validate(image))

            with pytest.raises(Unreachable):
                await asyncio.to_thread(ask)


class Answering(BaseHTTPRequestHandler):
    """Not our service: answers as it is told, and keeps what it was asked."""

    asked: list[dict[str, str]]
    status: int
    body: bytes

    def do_GET(self) -> None:
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def other() -> Iterator[tuple[str, type[Answering]]]:
    """The URL of a server that is none of ours, and what it is to say."""

    class Told(Answering):
        """Of this test alone."""

    Told.asked, Told.status, Told.body = [], 200, b"{}"
    with HTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", Told
        server.shutdown()
        thread.join()


def test_a_key_goes_with_requests_but_not_with_pictures(
    other: tuple[str, type[Answering]],
) -> None:
    url, told = other
    image = ImageAnswer.model_validate({**JOB_EXAMPLE["images"][0], "url": f"{url}/0.png"})
    with Service(url, "secret") as service:
        service.picture(image)
        with pytest.raises(Unreachable, match="is not this service"):
            service.job("1")
    for_picture, for_job = told.asked
    assert "authorization" not in for_picture
    assert for_job["authorization"] == "Bearer secret"


def test_events_of_another_kind_are_not_waited_for(other: tuple[str, type[Answering]]) -> None:
    url, told = other
    told.body = b"event: unheard\ndata: of\n\nevent: state\ndata: {}\n\n"
    job = JobAnswer.model_validate(
        {**JOB_EXAMPLE, "urls": {**JOB_EXAMPLE["urls"], "events": f"{url}/events"}}
    )
    with Service(url) as service, pytest.raises(Unreachable, match="is not this service"):
        next(service.follow(job))
    assert len(told.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (502, b"<html>", "answers 502 Bad Gateway"),
        (500, b"[]", "answers 500 Internal Server Error"),
        (404, b'{"detail": "gone", "errors": null}', "gone"),
    ],
)
def test_what_a_proxy_answers_is_told(
    other: tuple[str, type[Answering]], status: int, body: bytes, detail: str
) -> None:
    url, told = other
    told.status, told.body = status, body
    with Service(url) as service, pytest.raises(Refused, match=detail) as refused:
        service.job("1")
    assert refused.value.status == status


def test_no_proxy_leads_to_this_machine(
    other: tuple[str, type[Answering]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    url, told = other
    told.status = 404
    with Service(url) as service, pytest.raises(Refused):
        service.job("1")
    assert len(told.asked) == 1
