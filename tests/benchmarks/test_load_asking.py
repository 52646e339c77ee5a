"""One request of a load: how its end is learnt, and by which name its error is counted."""

import asyncio
import json
import socket
from time import perf_counter
from typing import Any

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from benchmarks.load.asking import PAUSE_S, Asker, LearnEnd, by_events, by_polling, by_waiting
from benchmarks.load.connections import Connections
from benchmarks.load.tally import Tally
from tests.benchmarks.listening import listening

WAIT, POLL = by_waiting(0.01), by_polling(0.01)


def job(status: str, error: str | None = None) -> dict[str, Any]:
    return {
        "id": "1",
        "status": status,
        "error": None if error is None else {"code": error},
        "images": [{}],
        "timings": [{"stage": "text", "queued_s": 0.1, "took_s": 0.2}],
    }


QUEUED, SUCCEEDED = job("queued"), job("succeeded")


def service(
    *looks: dict[str, Any] | Response, accepted: Response | None = None, events: str = ""
) -> FastAPI:
    """Answers the looks at its one job in turn, the last of them again and again."""
    app, left = FastAPI(), list(looks)

    @app.post("/generate")
    async def generate() -> Response:
        return accepted or JSONResponse(QUEUED, 202)

    @app.get("/jobs/1")
    async def read_job() -> Response:
        look = left.pop(0) if len(left) > 1 else left[0]
        return look if isinstance(look, Response) else JSONResponse(look)

    @app.get("/jobs/1/events")
    async def read_events() -> Response:
        return Response(events, media_type="text/event-stream")

    return app


async def asked(url: str, learn_end: LearnEnd, give_up_s: float = 10) -> tuple[Tally, float]:
    """What is tallied of one request, and the pause after it."""
    tally = Tally()
    async with Connections(url) as connections:
        asker = Asker(connections, learn_end, tally, give_up_s)
        pause_s = await asker.ask({"prompt": "a cat"}, perf_counter())
    assert (tally.in_flight, tally.ended) == (0, 1)
    return tally, pause_s


async def error_of(app: FastAPI, learn_end: LearnEnd = WAIT, give_up_s: float = 10) -> str:
    async with listening(app) as url:
        tally, pause_s = await asked(url, learn_end, give_up_s)
    assert pause_s > 0, "an error is no reason to ask faster"
    ((kind, _),) = tally.errors.items()
    return kind


@pytest.mark.parametrize(("learn_end", "polls"), [(WAIT, 0), (POLL, 3)], ids=["wait", "poll"])
async def test_a_job_is_looked_at_until_it_has_ended(learn_end: LearnEnd, polls: int) -> None:
    async with listening(service(QUEUED, job("running"), SUCCEEDED)) as url:
        tally, pause_s = await asked(url, learn_end)
    assert (tally.succeeded, tally.pictures, pause_s) == (1, 1, 0.0)
    assert len(tally.seconds["poll"]) == polls
    assert tally.seconds["queue text"] == [0.1]
    assert tally.seconds["stage text"] == [0.2]
    (submit_s,), (whole_s,) = tally.seconds["submit"], tally.seconds["whole"]
    assert 0 < submit_s < whole_s


async def test_events_tell_the_end() -> None:
    told = [("state", QUEUED), ("progress", []), ("end", SUCCEEDED)]
    text = "".join(
        f"id: {number}-0\nevent: {kind}\ndata: {json.dumps(data)}\n\n: a comment\n\n"
        for number, (kind, data) in enumerate(told)
    )
    async with listening(service(events=text)) as url:
        tally, _ = await asked(url, by_events)
    assert tally.succeeded == 1


async def test_events_may_break_off() -> None:
    text = f"event: state\ndata: {json.dumps(QUEUED)}\n\n"
    assert await error_of(service(events=text), by_events) == "events broke off"


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [({"retry-after": "7"}, 7.0), ({"retry-after": "Fri, 31 Dec 2027 23:59:59 GMT"}, PAUSE_S)],
    ids=["seconds", "date"],
)
async def test_a_refusal_says_how_long_to_wait(header: dict[str, str], pause_s: float) -> None:
    async with listening(service(accepted=Response(status_code=429, headers=header))) as url:
        tally, paused_s = await asked(url, WAIT)
    assert (tally.errors["status 429"], tally.failed, paused_s) == (1, 0, pause_s)
    assert not tally.seconds["submit"], "it was not accepted"


async def test_statuses_are_counted_by_number() -> None:
    away = Response(status_code=503)
    assert await error_of(service(accepted=away)) == "status 503"
    assert await error_of(service(QUEUED, away)) == "status 503"


async def test_jobs_that_end_otherwise_are_counted_by_status_and_reason() -> None:
    assert await error_of(service(job("canceled"))) == "job canceled"
    assert await error_of(service(job("failed", "input_expired"))) == "job failed: input_expired"


async def test_a_job_that_never_ends_is_given_up() -> None:
    assert await error_of(service(QUEUED), POLL, give_up_s=0.1) == "no end within 0.1 s"


async def test_what_is_interrupted_is_tallied_so() -> None:
    tally = Tally()
    async with listening(service(QUEUED)) as url, Connections(url) as connections:
        asker = Asker(connections, POLL, tally, give_up_s=10)
        asking = asyncio.create_task(asker.ask({"prompt": "a cat"}, perf_counter()))
        async with asyncio.timeout(10):
            while not tally.seconds["poll"]:
                await asyncio.sleep(0.005)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert (tally.in_flight, tally.ended, tally.errors) == (0, 1, {"interrupted": 1})


async def test_a_service_that_is_not_there_is_a_transport_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    tally, _ = await asked(f"http://127.0.0.1:{port}", WAIT)
    assert tally.errors == {"transport ConnectError": 1}


async def test_a_connection_that_breaks_is_a_transport_error() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        tally, _ = await asked(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", WAIT)
    (kind,) = tally.errors
    assert kind in ("transport RemoteProtocolError", "transport ReadError")


async def test_connections_are_used_again_and_never_by_two_at_once() -> None:
    async with Connections("http://127.0.0.1:1") as connections:
        async with connections.one() as first, connections.one() as second:
            assert first is not second
        async with connections.one() as again:
            assert again in (first, second)
