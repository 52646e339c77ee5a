"""deadline_s: a job that is late expires, with the reason, whoever is there to see it."""

import asyncio
import time
from datetime import datetime

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from tests.app.conftest import PlayedWorker
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE
from workers.jobs.queue import Effect

pytestmark = pytest.mark.usefixtures("served")

SOON_S = 0.05

LATE = {
    "code": "deadline_passed",
    "message": "the job was not done within its deadline_s",
    "image": None,
}


async def test_without_a_worker_it_expires_on_time(client: AsyncClient, redis: Redis) -> None:
    asked = {"prompt": "a cat", "deadline_s": SOON_S}
    answer = await client.post("/generate", json=asked, headers={"prefer": "wait=30"})
    assert answer.status_code == 200
    job = answer.json()
    assert (job["status"], job["error"], job["started_at"]) == ("expired", LATE, None)
    late = datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["deadline_at"])
    assert 0 <= late.total_seconds() < 10
    assert await redis.exists(keys.ready(TEXT_STAGE), keys.deadlines()) == 0


async def test_while_it_is_drawn_it_expires_with_what_is_done(
    client: AsyncClient, worker: PlayedWorker, redis: Redis
) -> None:
    asked = {"prompt": "a cat", "n": 2, "size": 32, "deadline_s": 600}
    job = (await client.post("/generate", json=asked)).json()
    first = await worker.begin()
    assert await worker.finish(first) is Effect.DONE
    second = await worker.begin_next(first)
    waiting = asyncio.create_task(
        client.get(job["urls"]["self"], headers={"prefer": "wait=30"}), name="waiting"
    )
    await redis.zadd(keys.deadlines(), {job["id"]: time.time() - 1})  # ten minutes later
    expired = (await waiting).json()
    assert (expired["status"], expired["error"]) == ("expired", LATE)
    assert [image["index"] for image in expired["images"]] == [first.image]
    assert await worker.finish(second) is Effect.UNWANTED
    assert (await client.get(job["urls"]["self"])).json() == expired


async def test_a_job_that_is_done_in_time_stays_done(
    client: AsyncClient, worker: PlayedWorker, redis: Redis
) -> None:
    asked = {"prompt": "a cat", "deadline_s": 604_800}
    job = (await client.post("/generate", json=asked)).json()
    lasts = datetime.fromisoformat(job["deadline_at"]) - datetime.fromisoformat(job["created_at"])
    assert lasts.total_seconds() == pytest.approx(604_800)
    await worker.draw()
    assert await redis.exists(keys.deadlines()) == 0
    assert (await client.get(job["urls"]["self"])).json()["status"] == "succeeded"


async def test_without_a_deadline_there_is_none(client: AsyncClient) -> None:
    job = (await client.post("/generate", json={"prompt": "a cat"})).json()
    assert job["deadline_at"] is None
