"""What our API is measured against, and the client that measures both."""

import asyncio
import json

import pytest
from fastapi import FastAPI, Response
from redis.asyncio import Redis

from app.settings import ApiSettings
from benchmarks import wire
from benchmarks.bare_api import STREAM, create_bare_app
from tests.benchmarks.listening import listening
from workers.jobs.settings import QueueSettings


async def test_the_bare_api_queues_what_it_accepts(
    redis: Redis, queue_settings: QueueSettings
) -> None:
    settings = ApiSettings.model_validate(queue_settings.model_dump())
    async with listening(create_bare_app(settings)) as url:
        request = wire.post(f"{url}/generate", {"prompt": "a cat"})
        accepted = await asyncio.to_thread(wire.send, url, request, 5, 2)
        assert await redis.xlen(STREAM) == 5
        job = json.loads(accepted)["id"]
        looked = await asyncio.to_thread(wire.send, url, wire.get(f"{url}/jobs/{job}"), 1, 1)
    assert json.loads(looked) == {"id": job, "prompt": "a cat"}
    await redis.delete(STREAM)


async def test_the_client_asks_as_often_as_it_is_told_over_as_many_connections() -> None:
    asked, in_flight, most = 0, 0, 0
    app = FastAPI()
    together = asyncio.Barrier(3)

    @app.get("/")
    async def read() -> str:
        nonlocal asked, in_flight, most
        asked, in_flight = asked + 1, in_flight + 1
        most = max(most, in_flight)
        await together.wait()
        in_flight -= 1
        return "yes"

    async with asyncio.timeout(20), listening(app) as url:
        answer = await asyncio.to_thread(wire.send, url, wire.get(f"{url}/"), 30, 3)
    assert (asked, most, answer) == (30, 3, b'"yes"')


async def test_an_answer_that_is_no_success_is_raised() -> None:
    app = FastAPI()

    @app.get("/")
    async def read() -> Response:
        return Response("too much", 429)

    async with listening(app) as url:
        with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="429")):
            await asyncio.to_thread(wire.send, url, wire.get(f"{url}/"), 1, 1)
