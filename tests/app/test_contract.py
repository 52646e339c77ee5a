"""What an API says of jobs and workers of another version of imagen."""

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import CARD, show
from workers.jobs import keys
from workers.jobs.contract import CONTRACT


async def test_a_job_that_only_others_can_read_is_asked_for_again(
    client: AsyncClient, settings: ApiSettings, redis: Redis
) -> None:
    show(settings, CARD)
    job = (await client.post("/generate", json={"prompt": "a cat"})).json()
    await redis.hset(keys.job(job["id"]), "contract", str(CONTRACT + 1))
    answer = await client.get(f"/jobs/{job['id']}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "another version" in answer.json()["detail"]


async def test_the_log_says_whose_workers_there_are(
    client: AsyncClient, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    shown = f'{{"contract": {CONTRACT + 1}, "name": "w9", "of": "another"}}'
    await redis.zadd(keys.workers(), {shown: 1 << 45})
    await redis.pexpire(keys.workers(), 5000)
    assert (await client.get("/readyz")).status_code == 503
    assert f"the workers speak contract {CONTRACT + 1} and this process {CONTRACT}" in caplog.text
