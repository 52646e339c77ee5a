"""A job from queued to its end, whoever brings that about."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from app.answers import StageTiming
from app.main import create_app
from app.settings import ApiSettings
from tests.app.conftest import PNG, PlayedWorker
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE, StageTimes
from workers.jobs.queue import Effect, Queue, Reached
from workers.jobs.watcher import JobWatcher


async def submit(client: AsyncClient, n: int = 1) -> dict[str, Any]:
    answer = await client.post("/generate", json={"prompt": "a cat", "n": n, "size": 128})
    job: dict[str, Any] = answer.json()
    return job


@pytest.mark.usefixtures("served")
async def test_a_job_is_told_as_it_goes_on(client: AsyncClient, worker: PlayedWorker) -> None:
    job = await submit(client)
    url = job["urls"]["self"]
    assert (await client.get(url)).json() == job
    await worker.draw()
    answer = await client.get(url)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["images"] == [
        {
            "index": 0,
            "seed": job["parameters"]["seed"],
            "url": f"http://imagen.test/images/{job['id']}/0.png",
            "width": 128,
            "height": 128,
            "blocked_by": None,
        }
    ]


@pytest.mark.usefixtures("served")
async def test_a_job_tells_what_of_its_prompt_was_not_read(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    job = await submit(client)
    assert job["warnings"] == []
    worker.warnings = ('prompt: "cat" means nothing', "prompt: it is too long")
    await worker.draw()
    told = (await client.get(job["urls"]["self"])).json()
    assert (told["status"], told["warnings"]) == ("succeeded", list(worker.warnings))


@pytest.mark.usefixtures("served")
async def test_a_job_tells_how_far_it_is(
    client: AsyncClient, worker: PlayedWorker, redis: Redis, settings: ApiSettings
) -> None:
    """The base stage's 30 steps are guided, the second stage's 8 are not."""
    queue = Queue(redis, settings)
    await submit(client)
    job = await submit(client, n=2)
    url = job["urls"]["self"]
    assert (job["queue_position"], job["progress"], job["in_progress"]) == (1, 0.0, [])
    await worker.draw()
    assert (await client.get(url)).json()["queue_position"] == 0
    first = await worker.begin()
    base, upper = 30 * 32 * 32 * 2, 8 * 128 * 128
    begun = (await client.get(url)).json()
    assert begun["queue_position"] is None
    assert begun["progress"] == pytest.approx(base / (base + upper) / 2, abs=1e-4)
    await queue.progress([Reached(first, 4, 8)])
    half = (await client.get(url)).json()
    assert half["in_progress"] == [{"index": 0, "stage": "128", "step": 4, "steps": 8}]
    assert half["progress"] == pytest.approx((base + upper / 2) / (base + upper) / 2, abs=1e-4)
    await worker.finish(first)
    assert (await client.get(url)).json()["progress"] == 0.5
    await worker.finish(await worker.begin_next(first))
    ended = (await client.get(url)).json()
    assert (ended["progress"], ended["in_progress"]) == (1.0, [])


@pytest.mark.usefixtures("served")
async def test_a_job_tells_where_its_time_went(client: AsyncClient, worker: PlayedWorker) -> None:
    job = await submit(client)
    assert job["timings"] == [
        {"stage": stage, "queued_s": None, "took_s": None} for stage in ("text", "32", "128")
    ]
    last = await worker.begin()
    timings = (await client.get(job["urls"]["self"])).json()["timings"]
    assert [timing["queued_s"] is None for timing in timings] == [False, False, False]
    assert [timing["took_s"] is None for timing in timings] == [False, False, True]
    await worker.finish(last)
    ended = (await client.get(job["urls"]["self"])).json()
    spent = [timing[part] for timing in ended["timings"] for part in ("queued_s", "took_s")]
    assert min(spent) >= 0
    whole = moment(ended["finished_at"]) - moment(ended["created_at"])
    assert sum(spent) == pytest.approx(whole.total_seconds(), abs=0.01)


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    times = StageTimes(stage="32", ready_at=3.0, claimed_at=2.0, settled_at=1.0)
    assert StageTiming.of(times) == StageTiming(stage="32", queued_s=0.0, took_s=0.0)


def moment(told: str) -> datetime:
    return datetime.fromisoformat(told)


@pytest.mark.usefixtures("served")
async def test_a_client_may_wait_here_too(client: AsyncClient, worker: PlayedWorker) -> None:
    job = await submit(client, n=2)
    answer, _ = await asyncio.gather(
        client.get(job["urls"]["self"], headers={"prefer": "wait=60"}), worker.draw()
    )
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.json()["status"] == "succeeded"
    assert len(answer.json()["images"]) == 2


@pytest.mark.usefixtures("served")
async def test_a_wait_may_end_before_the_job(client: AsyncClient) -> None:
    job = await submit(client)
    answer = await client.get(job["urls"]["self"], headers={"prefer": "wait=0"})
    assert answer.status_code == 200
    assert answer.json() == job


@pytest.mark.parametrize("prefer", ["", "wait=60"])
async def test_an_unknown_job_is_not_found(client: AsyncClient, prefer: str) -> None:
    answer = await client.get("/jobs/unknown", headers={"prefer": prefer})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "there is no job of this id"
    assert "unknown" not in answer.text


async def until_waiting(watcher: JobWatcher, job_id: str) -> None:
    async with asyncio.timeout(10):
        while not watcher.bells.waiting(job_id):
            await asyncio.sleep(0)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("end", ["cancel", "delete"])
async def test_who_waits_is_told_at_once_when_a_job_is_ended(
    settings: ApiSettings, end: str
) -> None:
    app = create_app(settings)
    transport = ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://imagen.test") as client,
    ):
        job = await submit(client)
        waiting = asyncio.create_task(
            client.get(job["urls"]["self"], headers={"prefer": "wait=60"})
        )
        await until_waiting(app.state.services.watcher, job["id"])
        if end == "cancel":
            await client.post(job["urls"]["cancel"])
        else:
            await client.delete(job["urls"]["self"])
        async with asyncio.timeout(10):
            answer = await waiting
    assert answer.json()["status"] == "canceled"
    assert answer.json()["deleted"] == (end == "delete")


@pytest.mark.usefixtures("served")
async def test_a_queued_job_that_is_canceled_was_never_begun(
    client: AsyncClient, redis: Redis
) -> None:
    job = await submit(client)
    answer = await client.post(job["urls"]["cancel"])
    assert answer.status_code == 200
    canceled = answer.json()
    assert (canceled["status"], canceled["started_at"]) == ("canceled", None)
    assert canceled["finished_at"] is not None
    assert canceled["error"] is None
    assert await redis.exists(keys.ready(TEXT_STAGE)) == 0
    assert (await client.get(job["urls"]["self"])).json() == canceled


@pytest.mark.usefixtures("served")
async def test_a_running_job_that_is_canceled_keeps_what_is_done(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    job = await submit(client, n=2)
    first = await worker.begin()
    assert (await client.get(job["urls"]["self"])).json()["status"] == "running"
    assert await worker.finish(first) is Effect.DONE
    canceled = (await client.post(job["urls"]["cancel"])).json()
    assert canceled["status"] == "canceled"
    (image,) = canceled["images"]
    assert (await client.get(image["url"])).content == PNG


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("end", ["drawn", "failed", "canceled"])
async def test_a_job_that_has_ended_stays_as_it_is(
    client: AsyncClient, worker: PlayedWorker, end: str
) -> None:
    job = await submit(client)
    if end == "drawn":
        await worker.draw()
    elif end == "failed":
        await worker.fail()
    else:
        await client.post(job["urls"]["cancel"])
    ended = (await client.get(job["urls"]["self"])).json()
    answer = await client.post(job["urls"]["cancel"])
    assert answer.status_code == 200
    assert answer.json() == ended


@pytest.mark.usefixtures("served")
async def test_what_is_drawn_of_a_canceled_job_comes_too_late(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    job = await submit(client)
    task = await worker.begin()
    canceled = (await client.post(job["urls"]["cancel"])).json()
    assert await worker.finish(task) is Effect.UNWANTED
    assert (await client.get(job["urls"]["self"])).json() == canceled
    assert (await client.get(f"/images/{job['id']}/0.png")).status_code == 404
