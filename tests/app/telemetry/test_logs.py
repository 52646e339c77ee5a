"""No prompt, no key and no webhook's path is logged by API or worker, whatever becomes of a job."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from app.settings import ApiSettings
from model.cascade import Cascade
from tests.app.conftest import CARD, client_of, free_port, new_key, show
from tests.faults import refusing
from tests.serving import until_ready, worker_settings, working
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue

MARK = "xyzzy"
"""In all that is nobody's business."""

CAT = f"{MARK} a cat"
FAILING = f"{MARK} a red apple"

WAIT = {"prefer": "wait=30"}


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def assert_unmarked(caplog: pytest.LogCaptureFixture) -> None:
    formatter = logging.Formatter()  # with tracebacks
    told = [formatter.format(record) + repr(vars(record)) for record in caplog.records]
    assert told
    assert [line for line in told if MARK in line.lower()] == []


async def post(client: AsyncClient, headers: dict[str, str] | None = None, **body: Any) -> Any:
    answer = await client.post("/generate", json=body, headers=headers)
    return answer.json()


async def test_whatever_becomes_of_a_job(
    redis: Redis, settings: ApiSettings, tiny_cascade: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Drawn, failed, expired, canceled, deleted; told to a webhook that does not answer."""
    trusting = settings.model_copy(update={"webhooks_to_private": True})
    webhook = f"http://127.0.0.1:{free_port()}/{MARK}?{MARK}"
    cascade = Cascade.load(tiny_cascade, "cpu,float32")
    (unloved,) = cascade.text.encode([FAILING])
    error = RuntimeError("a bug")
    async with (
        working(cascade, worker_settings(settings, tiny_cascade)),
        client_of(trusting) as client,
    ):
        await until_ready(client)
        with refusing(cascade.stages[0].network.unet, unloved, error):
            failed = await post(client, WAIT, prompt=FAILING)
        drawn = await post(client, WAIT, prompt=CAT, negative_prompt=MARK, webhook=webhook)
        expired = await post(client, WAIT, prompt=CAT, steps=200, deadline_s=0.01)
        canceled = await post(client, prompt=CAT, steps=200)
        canceled = (await client.post(canceled["urls"]["cancel"])).json()
        deleted = (await client.delete(drawn["urls"]["self"])).json()
    ends = [job["status"] for job in (failed, drawn, expired, canceled, deleted)]
    assert ends == ["failed", "succeeded", "expired", "canceled", "succeeded"]
    assert deleted["deleted"]
    assert "a bug" in caplog.text
    assert f"webhook of job {drawn['id']}" in caplog.text
    assert_unmarked(caplog)


@pytest.mark.usefixtures("served")
async def test_whatever_is_refused(
    redis: Redis, settings: ApiSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """By its form, by the cascade, by a quota, by its keys."""
    tight = {"auth": "required", "owner_images_per_minute": 1}
    async with client_of(settings.model_copy(update=tight)) as client:
        ann = await new_key(redis, "ann")
        assert "errors" in await post(client, ann, prompt=f"{CAT}\0")
        assert "errors" in await post(client, ann, prompt=CAT * 100)
        assert "errors" in await post(client, ann, prompt=CAT, **{MARK: MARK}, size=MARK)
        headers = {**ann, "content-type": "application/json"}
        for body in (f'{{"prompt": "{CAT}"', json.dumps([CAT]), f'{{"{MARK}": 1, "{MARK}": 2}}'):
            answer = await client.post("/generate", content=body, headers=headers)
            assert answer.status_code == 422
        keyed = {**ann, "idempotency-key": MARK}
        assert "id" in await post(client, keyed, prompt=CAT)
        assert (await post(client, keyed, prompt=f"{CAT}s"))["status"] == 422
        assert (await post(client, ann, prompt=CAT))["status"] == 429
        unknown = {"authorization": f"Bearer {MARK}"}
        assert (await post(client, unknown, prompt=CAT))["status"] == 401
    logging.getLogger(__name__).info("there is something to look at")
    assert_unmarked(caplog)
    assert ann["authorization"].removeprefix("Bearer ") not in caplog.text


async def test_when_the_queue_goes_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedQueue(tmp_path) as server:
        settings = ApiSettings(redis_url=server.url, data_dir=tmp_path, auth="none")
        show(settings, CARD)
        async with client_of(settings) as client:
            assert (await client.get("/model")).status_code == 200  # the card is known by now
            server.stop()
            assert (await post(client, prompt=CAT))["status"] == 503
    assert "POST /generate: Redis cannot be reached" in caplog.text
    assert_unmarked(caplog)


@pytest.mark.usefixtures("served")
async def test_when_a_job_is_of_another_version(
    redis: Redis, settings: ApiSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """That is told by who would draw it and who would tell of it, with what is wrong."""
    trusting = settings.model_copy(update={"webhooks_to_private": True})
    async with client_of(trusting) as client:
        job = await post(client, prompt=CAT, webhook=f"http://127.0.0.1:{free_port()}/")
        stored: Any = await redis.hget(keys.job(job["id"]), "parameters")
        other = {name: value for name, value in json.loads(stored).items() if name != "seed"}
        await redis.hset(keys.job(job["id"]), "parameters", json.dumps(other))
        assert await Queue(redis, settings).claim("worker", TEXT_STAGE, count=1) == []
        assert await Ledger(redis, settings).cancel(job["id"])
        async with asyncio.timeout(10):
            while f"webhook of job {job['id']}" not in caplog.text:
                await asyncio.sleep(0.01)
    assert f"task {job['id']}:text is of another version" in caplog.text
    assert "seed" in caplog.text
    assert_unmarked(caplog)
