"""GET /jobs/{id}/events, on a real socket: what happens to a job, as it happens."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response
from redis.asyncio import Redis

from app import sse
from app.main import create_app
from app.processes.embedded_queue import EmbeddedQueue
from app.processes.server import Server
from app.settings import ApiSettings
from tests.app.conftest import CARD, PNG, PlayedWorker, free_port, new_key, show
from tests.app.listening import listening
from workers.jobs import events
from workers.jobs.job import Task
from workers.jobs.queue import Effect, Queue, Reached
from workers.jobs.settings import QueueSettings

PATIENCE_S = 20

pytestmark = pytest.mark.usefixtures("served")


@dataclass(frozen=True)
class Sent:
    """One event as it comes: data is what its JSON says."""

    event: str
    data: Any
    id: str | None


class Stream:
    """What a client of /jobs/{id}/events reads."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Sent:
        """Waits for it. Raises: StopAsyncIteration where the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            while (line := await anext(self._lines)) or not fields:
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
        return Sent(fields["event"], json.loads(fields["data"]), fields.get("id"))

    async def rest(self) -> list[Sent]:
        """Until the stream ends."""
        sent = []
        while True:
            try:
                sent.append(await self.next())
            except StopAsyncIteration:
                return sent

    async def comment(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while not (line := await anext(self._lines)).startswith(":"):
                pass
        return line


@asynccontextmanager
async def following(
    client: AsyncClient, job: dict[str, Any], last_id: str | None = None, query: str = ""
) -> AsyncGenerator[Stream]:
    headers = {} if last_id is None else {"last-event-id": last_id}
    async with client.stream("GET", job["urls"]["events"] + query, headers=headers) as answer:
        assert answer.status_code == 200
        yield Stream(answer)


@pytest.fixture
async def url(settings: ApiSettings) -> AsyncIterator[str]:
    async with listening(settings) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def queue(redis: Redis, settings: ApiSettings) -> Queue:
    return Queue(redis, settings)


async def submit(client: AsyncClient, n: int = 1) -> dict[str, Any]:
    answer = await client.post("/generate", json={"prompt": "a cat", "n": n, "size": 128})
    job: dict[str, Any] = answer.json()
    return job


async def as_it_stands(client: AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    stands: dict[str, Any] = (await client.get(job["urls"]["self"])).json()
    return stands


async def show_step(queue: Queue, task: Task) -> None:
    reached = Reached(task, 3, 8)
    await queue.progress([reached])
    await queue.preview(reached, PNG)


async def test_a_warning_is_told_before_anything_is_drawn(
    client: AsyncClient, worker: PlayedWorker, queue: Queue
) -> None:
    warnings = ('prompt: "cat" means nothing',)
    job = await submit(client)
    async with following(client, job) as stream:
        assert (await stream.next()).data["warnings"] == []
        text = await worker.accept()
        encoded = {"a cat": b"cat", "": b"none"}
        assert await queue.commit_text(text, worker.name, CARD.text_encoder, encoded, warnings)
        warned = await stream.next()
    assert (warned.event, warned.data["status"]) == ("state", "queued")
    assert warned.data["warnings"] == list(warnings)


async def test_what_happens_to_a_job_is_told_as_it_happens(
    client: AsyncClient, worker: PlayedWorker, queue: Queue
) -> None:
    job = await submit(client)
    async with following(client, job) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        first = await stream.next()
        assert (first.event, first.data) == ("state", job)
        task = await worker.begin()
        begun = await stream.next()
        assert (begun.event, begun.data["status"]) == ("state", "running")
        await show_step(queue, task)
        at = {"index": 0, "stage": "128", "step": 3, "steps": 8}
        progress, preview = await stream.next(), await stream.next()
        assert (progress.event, progress.data) == ("progress", [at])
        assert (await as_it_stands(client, job))["in_progress"] == [at]
        picture = preview.data.pop("url")
        assert (preview.event, preview.data) == ("preview", at)
        assert picture == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        assert await worker.finish(task) is Effect.DONE
        image, end = await stream.rest()
    ended = await as_it_stands(client, job)
    assert (image.event, [image.data]) == ("image", ended["images"])
    assert (end.event, end.data) == ("end", ended)
    ids = [sent.id for sent in (first, begun, progress, preview, image, end)]
    assert len(set(ids) - {None}) == 6


async def test_previews_come_only_where_they_are_wanted(
    client: AsyncClient, worker: PlayedWorker, queue: Queue
) -> None:
    job = await submit(client)
    async with following(client, job, query="?previews=false") as stream:
        await stream.next()
        task = await worker.begin()
        await show_step(queue, task)
        await worker.finish(task)
        told = [sent.event for sent in await stream.rest()]
    assert told == ["state", "progress", "image", "end"]


async def test_who_comes_back_goes_on_at_any_api_and_needs_not_come_again(
    client: AsyncClient, worker: PlayedWorker, settings: ApiSettings
) -> None:
    job = await submit(client, n=2)
    async with following(client, job) as stream:
        first = await stream.next()
    await worker.draw()
    async with (
        listening(settings) as other_url,
        AsyncClient(base_url=other_url, timeout=PATIENCE_S) as other,
    ):
        there = {"urls": {"events": f"/jobs/{job['id']}/events"}}
        async with following(other, there, first.id) as stream:
            assert (await stream.next()).event == "state"
            image = await stream.next()
        async with following(client, job, image.id) as stream:
            rest = await stream.rest()
        assert [sent.event for sent in rest] == ["image", "end"]
        assert [image.data["index"], rest[0].data["index"]] == [0, 1]
        for api, path in ((client, job["urls"]["events"]), (other, there["urls"]["events"])):
            again = await api.get(path, headers={"last-event-id": rest[-1].id or ""})
            assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("end", ["drawn", "failed", "canceled", "deleted"])
async def test_of_a_job_that_has_ended_the_end_is_told(
    client: AsyncClient, worker: PlayedWorker, end: str
) -> None:
    job = await submit(client)
    match end:
        case "drawn":
            await worker.draw()
        case "failed":
            await worker.fail()
        case "canceled":
            await client.post(job["urls"]["cancel"])
        case _:
            await client.delete(job["urls"]["self"])
    async with following(client, job) as stream:
        (told,) = await stream.rest()
    assert (told.event, told.data) == ("end", await as_it_stands(client, job))


async def test_a_place_in_the_queue_is_told_without_an_id(
    client: AsyncClient, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_QUEUED_S", 0.02)
    await submit(client)
    job = await submit(client)
    async with following(client, job) as stream:
        first = await stream.next()
        assert (first.data["queue_position"], first.id is None) == (1, False)
        await worker.draw()
        moved = await stream.next()
        assert (moved.event, moved.data["queue_position"], moved.id) == ("state", 0, None)


async def test_silence_is_filled_with_comments(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no proxy takes the connection for dead."""
    monkeypatch.setattr(sse, "PING_S", 0.02)
    job = await submit(client)
    async with following(client, job) as stream:
        assert (await stream.next()).event == "state"
        assert [await stream.comment() for _ in range(2)] == [": ping", ": ping"]


async def test_an_unknown_job_is_not_found(client: AsyncClient) -> None:
    for headers in ({}, {"last-event-id": "1-0"}):
        answer = await client.get("/jobs/unknown/events", headers=headers)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "there is no job of this id"


async def test_what_cannot_be_used_is_refused_by_name(client: AsyncClient) -> None:
    job = await submit(client)
    url = job["urls"]["events"]
    for last_id in ("", "x", "1", "1-", "-1", "1-1-1", "+", "$", "1" * 16 + "-0", "(1-0", "\xb2-0"):
        headers = {b"last-event-id": last_id.encode("latin-1")}
        answer = await client.get(url, headers=headers)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["field"]) == (422, "last-event-id"), last_id
    answer = await client.get(f"{url}?previews=perhaps")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, "previews")


async def test_anothers_job_cannot_be_followed(settings: ApiSettings, redis: Redis) -> None:
    ann, bob = await new_key(redis, "ann"), await new_key(redis, "bob")
    async with (
        listening(settings.model_copy(update={"auth": "required"})) as url,
        AsyncClient(base_url=url, timeout=PATIENCE_S) as client,
    ):
        job = (await client.post("/generate", json={"prompt": "a cat"}, headers=ann)).json()
        others = await client.get(job["urls"]["events"], headers=bob)
        nones = await client.get(f"/jobs/{'0' * 32}/events", headers=bob)
        assert (others.status_code, others.json()) == (404, nones.json())
        await client.post(job["urls"]["cancel"], headers=ann)
        assert "event: end" in (await client.get(job["urls"]["events"], headers=ann)).text


@pytest.mark.parametrize("reads", [True, False], ids=["who waits", "who reads nothing"])
async def test_who_hangs_up_is_forgotten(
    settings: ApiSettings,
    worker: PlayedWorker,
    queue: Queue,
    caplog: pytest.LogCaptureFixture,
    reads: bool,
) -> None:
    server = Server(create_app(settings), "127.0.0.1", free_port())
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE_S):
        while not server.started:
            await asyncio.sleep(0.005)
        url = f"http://127.0.0.1:{server.config.port}"
        async with AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            job = await submit(client)
            bells = server._app.state.services.events.bells
            async with following(client, job) as stream:
                await stream.next()
                assert bells.waiting(job["id"]) == 1
                if not reads:
                    task = await worker.begin()
                    for step in range(40):  # more than a connection holds
                        await queue.preview(Reached(task, step, 40), bytes(200_000))
            while bells.waiting(job["id"]):
                await asyncio.sleep(0.005)
        server.should_exit = True
        await serving
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_without_a_queue_the_stream_ends_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_QUEUED_S", 0.02)
    with EmbeddedQueue(tmp_path) as server:
        given = QueueSettings(redis_url=server.url, data_dir=tmp_path).model_dump()
        settings = ApiSettings.model_validate({**given, "auth": "none"})
        show(settings, CARD)
        async with (
            listening(settings) as url,
            AsyncClient(base_url=url, timeout=PATIENCE_S) as client,
        ):
            job = await submit(client)
            async with following(client, job) as stream:
                first = await stream.next()
                server.stop()
                assert [sent for sent in await stream.rest() if sent.id] == []
            headers = {"last-event-id": first.id or ""}
            away = await client.get(job["urls"]["events"], headers=headers)
            assert (away.status_code, "retry-after" in away.headers) == (503, True)
            server.start()
            await client.post(job["urls"]["cancel"])
            async with following(client, job, first.id) as stream:
                assert [sent.event for sent in await stream.rest()] == ["end"]
