"""An API that stops keeps nobody waiting."""

import asyncio
import resource
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from app.main import create_app
from app.processes.server import FINISH_ANSWERS_S, MOST_FILES, Server
from app.settings import ApiSettings
from tests.app.conftest import free_port
from workers.jobs.card import CascadeCard


@pytest.fixture
async def server(settings: ApiSettings, redis: Redis) -> AsyncIterator[Server]:
    """One that serves; it has been stopped by the end of the test."""
    server = Server(create_app(settings), "127.0.0.1", free_port())
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
        yield server
        server.should_exit = True
        await serving


async def test_what_waits_for_a_job_ends_when_the_server_does(
    server: Server, served: CascadeCard
) -> None:
    clock = asyncio.get_running_loop().time
    url = f"http://127.0.0.1:{server.config.port}"
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        job = (await client.post("/generate", json={"prompt": "a cat"})).json()
        async with client.stream("GET", job["urls"]["events"]) as events:
            lines = events.aiter_lines()
            assert await anext(lines) == "event: state"
            services = server.config.app.state.services  # type: ignore[union-attr]
            waiting = asyncio.create_task(
                client.get(job["urls"]["self"], headers={"prefer": "wait=60"})
            )
            while not services.watcher.bells.waiting(job["id"]):
                await asyncio.sleep(0.01)
            began_s = clock()
            server.should_exit = True
            async for line in lines:
                assert not line.startswith("event: end")
            answer = await waiting
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert clock() - began_s < FINISH_ANSWERS_S


def test_a_server_may_hold_many_connections(settings: ApiSettings) -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        Server(create_app(settings), "127.0.0.1", free_port())
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(most, MOST_FILES), most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
