"""A job is its owner's: to others it is as good as none."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker, client_of, new_key
from workers.jobs.job import Priority

pytestmark = pytest.mark.usefixtures("served")


@pytest.fixture
async def keyed(settings: ApiSettings, redis: Redis) -> AsyncIterator[AsyncClient]:
    """Of an app that needs to be sent an API key."""
    async with client_of(settings.model_copy(update={"auth": "required"})) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "prefer"),
    [
        ("GET", "/jobs/{id}", ""),
        ("GET", "/jobs/{id}", "wait=60"),
        ("GET", "/jobs/{id}/events", ""),
        ("POST", "/jobs/{id}/cancel", ""),
        ("DELETE", "/jobs/{id}", ""),
    ],
)
async def test_anothers_job_is_as_good_as_none(
    keyed: AsyncClient, redis: Redis, method: str, path: str, prefer: str
) -> None:
    ann, bob = await new_key(redis, "ann"), await new_key(redis, "bob")
    job = (await keyed.post("/generate", json={"prompt": "a cat"}, headers=ann)).json()
    others = await keyed.request(method, path.format(**job), headers={**bob, "prefer": prefer})
    nones = await keyed.request(method, path.format(id="0" * 32), headers=bob)
    assert (others.status_code, others.json()) == (404, nones.json())
    assert others.headers.keys() == nones.headers.keys()
    unharmed = await keyed.get(job["urls"]["self"], headers=ann)
    assert (unharmed.status_code, unharmed.json()) == (200, job)


async def test_every_key_of_an_owner_sees_the_owners_jobs(keyed: AsyncClient, redis: Redis) -> None:
    old, new = await new_key(redis, "ann"), await new_key(redis, "ann", Priority.HIGH)
    job = (await keyed.post("/generate", json={"prompt": "a cat"}, headers=old)).json()
    assert (await keyed.get(job["urls"]["self"], headers=new)).json() == job
    assert (await keyed.delete(job["urls"]["self"], headers=new)).json()["deleted"]


async def test_who_has_a_pictures_url_may_see_it(
    keyed: AsyncClient, redis: Redis, worker: PlayedWorker
) -> None:
    ann = await new_key(redis, "ann")
    job = (await keyed.post("/generate", json={"prompt": "a cat"}, headers=ann)).json()
    await worker.draw()
    drawn = (await keyed.get(job["urls"]["self"], headers=ann)).json()
    assert (await keyed.get(drawn["images"][0]["url"])).status_code == 200


async def test_what_was_made_without_keys_is_not_a_key_owners(
    client: AsyncClient, keyed: AsyncClient, redis: Redis
) -> None:
    job = (await client.post("/generate", json={"prompt": "a cat"})).json()
    ann = await new_key(redis, "ann")
    assert (await keyed.get(job["urls"]["self"], headers=ann)).status_code == 404


@pytest.mark.parametrize("highest", Priority)
async def test_a_key_has_a_highest_priority(
    keyed: AsyncClient, redis: Redis, highest: Priority
) -> None:
    ann = await new_key(redis, "ann", highest)
    allowed = [
        each for each in Priority if list(Priority).index(each) <= list(Priority).index(highest)
    ]
    for priority in Priority:
        body = {"prompt": "a cat", "priority": priority}
        answer = await keyed.post("/generate", json=body, headers=ann)
        if priority in allowed:
            assert (answer.status_code, answer.json()["priority"]) == (202, priority)
        else:
            (error,) = answer.json()["errors"]
            names = " or ".join(f'"{each}"' for each in allowed)
            assert answer.status_code == 422
            assert error == {
                "field": "priority",
                "problem": "is higher than your key allows",
                "remedy": f"use {names}, or leave it out",
            }
    left_out = await keyed.post("/generate", json={"prompt": "a cat"}, headers=ann)
    assert left_out.json()["priority"] == min(highest, Priority.NORMAL, key=list(Priority).index)
