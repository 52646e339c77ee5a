"""GET /model: what is served, as long as someone serves it."""

from httpx import AsyncClient
from redis.asyncio import Redis

from app.services import CardReader
from app.settings import ApiSettings
from tests.app.conftest import CARD, WORKER, show
from workers.jobs import keys
from workers.jobs.card import CascadeCard, WorkerCard


async def test_the_card_is_shown_with_the_limits_and_the_workers(
    client: AsyncClient, served: CascadeCard
) -> None:
    answer = await client.get("/model")
    assert answer.status_code == 200
    assert CascadeCard.model_validate(answer.json()["cascade"]) == served
    assert answer.json()["limits"] == {
        "max_seed": 4294967295,
        "max_wait_s": 60,
        "max_body_bytes": 65536,
        "max_adapters": 4,
        "max_adapter_scale": 5.0,
    }
    (worker,) = answer.json()["workers"]
    assert WorkerCard.model_validate(worker) == WORKER
    assert worker["stages"]["32"] == {
        "device": "cuda:0",
        "dtype": "bfloat16",
        "rows": 64,
        "row_ms": 0.4,
    }


async def test_without_a_worker_there_is_no_model(client: AsyncClient) -> None:
    answer = await client.get("/model")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["remedy"] == "start one with `imagen worker`"


async def test_a_card_is_asked_for_once_in_a_while(settings: ApiSettings, redis: Redis) -> None:
    cards = CardReader(redis)
    show(settings, CARD)
    assert await cards.recent() == CARD
    await redis.delete(keys.card())
    assert await cards.recent() == CARD
