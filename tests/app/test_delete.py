"""DELETE /jobs/{job_id}: what was said and drawn is gone, that it was there is not."""

from typing import Any

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker
from tests.app.test_jobs import submit
from workers.jobs import keys
from workers.jobs.queue import Effect

pytestmark = pytest.mark.usefixtures("served")

GONE = {"prompt": "", "negative_prompt": ""}


async def test_prompt_and_pictures_are_gone_and_the_rest_can_be_read(
    client: AsyncClient, worker: PlayedWorker, settings: ApiSettings, redis: Redis
) -> None:
    job = await submit(client, n=2)
    worker.warnings = ('prompt: "cat" means nothing',)
    await worker.draw()
    drawn = (await client.get(job["urls"]["self"])).json()
    answer = await client.delete(job["urls"]["self"])
    assert answer.status_code == 200
    assert answer.json() == {
        **drawn,
        "deleted": True,
        "images": [],
        "warnings": [],
        "parameters": {**drawn["parameters"], **GONE},
    }
    assert (await client.get(job["urls"]["self"])).json() == answer.json()
    for image in drawn["images"]:
        assert (await client.get(image["url"])).status_code == 404
    assert list(settings.images_dir.rglob("*")) == []
    record: Any = await redis.hgetall(keys.job(job["id"]))
    assert not any(b"cat" in value for value in record.values())


async def test_a_job_that_had_not_ended_is_canceled(client: AsyncClient) -> None:
    job = await submit(client)
    deleted = (await client.delete(job["urls"]["self"])).json()
    assert (deleted["status"], deleted["deleted"]) == ("canceled", True)
    assert deleted["parameters"].items() >= GONE.items()


async def test_what_a_worker_still_makes_of_it_never_shows_up(
    client: AsyncClient, worker: PlayedWorker, settings: ApiSettings
) -> None:
    job = await submit(client, n=2)
    first = await worker.begin()
    assert await worker.finish(first) is Effect.DONE
    second = await worker.begin_next(first)
    deleted = (await client.delete(job["urls"]["self"])).json()
    assert await worker.finish(second) is Effect.UNWANTED
    assert (await client.get(job["urls"]["self"])).json() == deleted
    assert deleted["images"] == []
    for index in (0, 1):
        assert (await client.get(f"/images/{job['id']}/{index}.png")).status_code == 404
    assert list(settings.images_dir.rglob("*")) == []


async def test_twice_is_as_good_as_once(client: AsyncClient, worker: PlayedWorker) -> None:
    job = await submit(client)
    await worker.draw()
    first = await client.delete(job["urls"]["self"])
    again = await client.delete(job["urls"]["self"])
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await client.post(job["urls"]["cancel"])).json() == first.json()


async def test_the_record_is_kept_no_longer_than_before(
    client: AsyncClient, worker: PlayedWorker, redis: Redis
) -> None:
    job = await submit(client)
    await worker.draw()
    await redis.expire(keys.job(job["id"]), 60)
    await client.delete(job["urls"]["self"])
    assert 0 < await redis.ttl(keys.job(job["id"])) <= 60


async def test_other_jobs_keep_their_pictures(client: AsyncClient, worker: PlayedWorker) -> None:
    gone, stays = await submit(client), await submit(client)
    for _ in (gone, stays):
        await worker.draw()
    await client.delete(gone["urls"]["self"])
    kept = (await client.get(stays["urls"]["self"])).json()
    assert (kept["deleted"], kept["parameters"]["prompt"]) == (False, "a cat")
    assert (await client.get(kept["images"][0]["url"])).status_code == 200


async def test_where_the_image_store_cannot_be_written_it_can_be_tried_again(
    client: AsyncClient, worker: PlayedWorker, settings: ApiSettings
) -> None:
    job = await submit(client)
    await worker.draw()
    folder = settings.images_dir / job["id"]
    picture = folder / "0.png"
    picture.unlink()
    picture.mkdir()  # what unlink refuses, also of root
    answer = await client.delete(job["urls"]["self"])
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["detail"] == "the image store is not available"
    assert str(settings.data_dir) not in answer.text
    picture.rmdir()
    assert (await client.delete(job["urls"]["self"])).json()["deleted"]
