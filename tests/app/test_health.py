"""/livez and /readyz: the process, and the service as a whole."""

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from app.settings import ApiSettings
from tests.app.conftest import CARD, client_of, show
from workers.jobs import keys


async def test_ready_is_when_a_worker_shows_its_card(
    client: AsyncClient, settings: ApiSettings, redis: Redis
) -> None:
    before = await client.get("/readyz")
    assert before.status_code == 503
    assert before.json()["detail"] == "no worker is there to draw"
    show(settings, CARD)
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    await redis.delete(keys.card())
    assert (await client.get("/readyz")).status_code == 503


async def test_a_card_of_another_version_is_none(client: AsyncClient, redis: Redis) -> None:
    await redis.set(keys.card(), '{"name": "picture-book", "version": 99}', px=600_000)
    assert (await client.get("/readyz")).status_code == 503


async def test_the_api_starts_before_its_queue(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("q")
    server = EmbeddedQueue(folder)
    settings = ApiSettings(redis_url=server.url, data_dir=folder, auth="none")
    async with client_of(settings) as client:
        assert (await client.get("/livez")).json() == {"status": "alive"}
        for path in ("/readyz", "/model", "/jobs/unknown"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert answer.json()["detail"] == "the queue cannot be reached"
            assert str(folder) not in answer.text
        answer = await client.post("/generate", json={"prompt": "a cat"})
        assert answer.status_code == 503
        with server:
            assert server.url == settings.redis_url
            show(settings, CARD)
            assert (await client.get("/readyz")).status_code == 200
