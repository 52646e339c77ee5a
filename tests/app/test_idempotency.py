"""Idempotency-Key: what is sent again under it is no new job."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient, Response
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker, client_of, new_key
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE

pytestmark = pytest.mark.usefixtures("served")

KEY = {"idempotency-key": "order-7"}
CAT = {"prompt": "a cat", "size": 128}


@pytest.fixture
async def keyed(settings: ApiSettings, redis: Redis) -> AsyncIterator[AsyncClient]:
    """Of an app that needs to be sent an API key."""
    async with client_of(settings.model_copy(update={"auth": "required"})) as client:
        yield client


async def ask(client: AsyncClient, body: Any = CAT, **more: str) -> Response:
    return await client.post("/generate", json=body, headers={**KEY, **more})


async def jobs(redis: Redis) -> int:
    """How many wait."""
    return int(await redis.zcard(keys.ready(TEXT_STAGE)))


async def test_the_same_request_is_the_same_job(client: AsyncClient, redis: Redis) -> None:
    first, again = await ask(client), await ask(client)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await jobs(redis) == 1


async def test_it_is_the_same_however_it_is_written(client: AsyncClient) -> None:
    first = await ask(client)
    rewritten = json.dumps(dict(reversed(CAT.items())), indent=4).replace("cat", "c\\u0061t")
    headers = {**KEY, "content-type": "application/json"}
    again = await client.post("/generate", content=rewritten, headers=headers)
    assert again.json()["id"] == first.json()["id"]


async def test_another_request_is_refused(client: AsyncClient, redis: Redis) -> None:
    await ask(client)
    answer = await ask(client, {**CAT, "seed": 1})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "this Idempotency-Key came with another request before"
    assert answer.json()["remedy"] == "use a new key for a new request"
    assert await jobs(redis) == 1


async def test_of_many_at_the_same_moment_one_is_a_job(client: AsyncClient, redis: Redis) -> None:
    answers = await asyncio.gather(*(ask(client) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert await jobs(redis) == 1


async def test_after_the_end_the_answer_is_the_ended_job(
    client: AsyncClient, worker: PlayedWorker, redis: Redis
) -> None:
    first = await ask(client)
    await worker.draw()
    again = await ask(client)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.json()["status"] == "succeeded"
    assert (await client.get(again.json()["images"][0]["url"])).status_code == 200
    await client.delete(first.headers["location"])
    deleted = await ask(client)
    assert (deleted.status_code, deleted.json()["deleted"]) == (200, True)
    assert await jobs(redis) == 0


async def test_who_asks_again_may_wait(client: AsyncClient, worker: PlayedWorker) -> None:
    await ask(client)
    again, _ = await asyncio.gather(ask(client, prefer="wait=30"), worker.draw())
    assert again.json()["status"] == "succeeded"
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["preference-applied"] == "wait=30"


async def test_another_owners_key_is_another_key(keyed: AsyncClient, redis: Redis) -> None:
    ann, bob = await new_key(redis, "ann"), await new_key(redis, "bob")
    of_ann, of_bob = await ask(keyed, **ann), await ask(keyed, {**CAT, "seed": 1}, **bob)
    assert of_bob.status_code == 202
    assert of_ann.json()["id"] != of_bob.json()["id"]
    other_key_of_ann = await new_key(redis, "ann")
    again = await ask(keyed, **other_key_of_ann)
    assert again.json()["id"] == of_ann.json()["id"]


async def test_a_refused_request_does_not_use_the_key_up(client: AsyncClient) -> None:
    assert (await ask(client, {"prompt": ""})).status_code == 422
    answer = await ask(client)
    assert answer.status_code == 202
    assert "idempotent-replayed" not in answer.headers


async def test_without_a_key_the_same_request_is_two_jobs(
    client: AsyncClient, redis: Redis
) -> None:
    for _ in range(2):
        answer = await client.post("/generate", json=CAT)
        assert "idempotent-replayed" not in answer.headers
    assert await jobs(redis) == 2


@pytest.mark.parametrize(
    "sent",
    [[""], ["two words"], ["a" * 256], ["\u00fc".encode()], [b"\x7f"], ["one", "two"]],
    ids=["empty", "blank", "long", "not ASCII", "not visible", "two"],
)
async def test_a_key_that_cannot_be_used_is_named(
    client: AsyncClient, redis: Redis, sent: list[str | bytes]
) -> None:
    headers = [
        (b"idempotency-key", each if isinstance(each, bytes) else each.encode()) for each in sent
    ]
    answer = await client.post("/generate", json=CAT, headers=headers)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "idempotency-key"
    assert error["problem"]
    assert error["remedy"]
    assert await jobs(redis) == 0


async def test_the_longest_key_can_be_used(client: AsyncClient) -> None:
    longest = {"idempotency-key": "".join(map(chr, range(0x21, 0x7F))).ljust(255, "a")}
    first = await client.post("/generate", json=CAT, headers=longest)
    again = await client.post("/generate", json=CAT, headers=longest)
    assert again.json()["id"] == first.json()["id"]


async def test_what_was_accepted_is_told_also_where_no_worker_is_there(
    client: AsyncClient, redis: Redis
) -> None:
    first = await ask(client)
    await redis.delete(keys.card())
    async with asyncio.timeout(10):  # a card is kept for a moment
        while (await client.get("/readyz")).status_code != 503:
            await asyncio.sleep(0.01)
    again = await ask(client)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await client.post("/generate", json=CAT)
    assert other.status_code == 503
