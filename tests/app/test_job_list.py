"""GET /jobs: what a client has asked for, the newest first."""

from typing import Any

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker, client_of, new_key
from workers.jobs import history

pytestmark = pytest.mark.usefixtures("served")


async def submit(client: AsyncClient, *prompts: str, **headers: str) -> list[str]:
    """Ids, the newest first."""
    answers = [
        await client.post("/generate", json={"prompt": prompt}, headers=headers)
        for prompt in prompts
    ]
    return [answer.json()["id"] for answer in reversed(answers)]


async def read(client: AsyncClient, url: str, **query: Any) -> tuple[list[str], str | None]:
    """Ids, and the URL of what follows."""
    answer = await client.get(url, params=query or None)
    assert answer.status_code == 200
    listed = answer.json()
    return [job["id"] for job in listed["jobs"]], listed["next"]


async def read_all(client: AsyncClient, **query: Any) -> list[str]:
    """From answer to answer to the last."""
    found, next_url = await read(client, "/jobs", **query)
    while next_url is not None:
        more, next_url = await read(client, next_url)
        found += more
    return found


async def test_jobs_are_listed_as_they_stand(client: AsyncClient, worker: PlayedWorker) -> None:
    jobs = await submit(client, "a cat", "a dog", "a bird")
    await worker.draw()
    answer = await client.get("/jobs")
    assert answer.headers["cache-control"] == "no-store"
    listed = answer.json()
    assert listed == {
        "jobs": [(await client.get(f"/jobs/{job_id}")).json() for job_id in jobs],
        "next": None,
    }
    assert [job["status"] for job in listed["jobs"]] == ["queued", "queued", "succeeded"]


async def test_where_there_are_no_jobs_none_are_listed(client: AsyncClient) -> None:
    assert (await client.get("/jobs")).json() == {"jobs": [], "next": None}


async def test_a_list_is_read_in_pages(client: AsyncClient) -> None:
    jobs = await submit(client, *map(str, range(5)))
    first, next_url = await read(client, "/jobs", limit=2)
    assert first == jobs[:2]
    assert next_url is not None
    assert next_url.startswith("http://imagen.test/jobs?limit=2&cursor=")
    await submit(client, "new")
    assert (await read(client, next_url))[0] == jobs[2:4]
    for limit in (1, 2, 3, 5, 100):
        assert (await read_all(client, limit=limit))[1:] == jobs


async def test_a_page_has_twenty_jobs_where_no_one_says(client: AsyncClient) -> None:
    jobs = await submit(client, *map(str, range(21)))
    first, next_url = await read(client, "/jobs")
    assert first == jobs[:20]
    assert next_url is not None
    assert "limit" not in next_url
    assert await read(client, next_url) == (jobs[20:], None)


async def test_jobs_are_found_by_status_and_prompt(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    """In any case, as languages have it, and both at once."""
    prompts = ("A Cat & a Dog", "a cat", "Stra\xdfe", "a bird = a plane", "CAT#1 50%+")
    number, plane, street, cat, cat_and_dog = await submit(client, *prompts)
    await worker.draw()
    for asked, found in (
        ({"prompt": "cat"}, [number, cat, cat_and_dog]),
        ({"prompt": "CAT &"}, [cat_and_dog]),
        ({"prompt": "STRASSE"}, [street]),
        ({"prompt": "= a"}, [plane]),
        ({"prompt": "#1 50%+"}, [number]),
        ({"prompt": "\x00"}, []),
        ({"prompt": "", "status": "succeeded"}, [cat_and_dog]),
        ({"status": "queued"}, [number, plane, street, cat]),
        ({"status": "queued", "prompt": "a"}, [number, plane, street, cat]),
        ({"status": "canceled"}, []),
    ):
        for limit in (1, 20):
            assert await read_all(client, **asked, limit=limit) == found


async def test_an_answer_may_be_empty_and_name_another(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where very many jobs are not wanted, none of them waits for all to be looked at."""
    monkeypatch.setattr(history, "AT_ONCE", 1)
    monkeypatch.setattr(history, "MOST_LOOKED_AT", 2)
    jobs = await submit(client, "a cat", "a dog", "a dog", "a dog", "a dog")
    found, next_url = await read(client, "/jobs", prompt="cat", limit=1)
    assert found == []
    assert next_url is not None
    assert await read_all(client, prompt="cat", limit=1) == jobs[-1:]


async def test_a_deleted_job_is_listed_no_more(client: AsyncClient) -> None:
    jobs = await submit(client, "a cat", "a dog")
    await client.delete(f"/jobs/{jobs[0]}")
    assert await read_all(client) == jobs[1:]


async def test_owners_see_their_own(settings: ApiSettings, redis: Redis) -> None:
    ann, bob = await new_key(redis, "ann"), await new_key(redis, "bob")
    other = await new_key(redis, "ann")
    async with client_of(settings.model_copy(update={"auth": "required"})) as client:
        anns, bobs = await submit(client, "a cat", **ann), await submit(client, "a dog", **bob)
        for key, jobs in ((ann, anns), (other, anns), (bob, bobs)):
            listed = (await client.get("/jobs", headers=key)).json()["jobs"]
            assert [job["id"] for job in listed] == jobs
        assert (await client.get("/jobs")).status_code == 401


async def test_links_lead_where_the_service_is_public(settings: ApiSettings, redis: Redis) -> None:
    public = settings.model_validate({**settings.model_dump(), "public_url": "https://pics.test/x"})
    async with client_of(public) as client:
        await submit(client, "a cat", "a dog")
        _, next_url = await read(client, "/jobs", limit=1)
    assert next_url is not None
    assert next_url.startswith("https://pics.test/x/jobs?")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "x"),
        ("limit", ""),
        ("cursor", "-1"),
        ("cursor", "x"),
        ("cursor", str(2**53 + 1)),
        ("cursor", "9" * 400),
        ("status", "done"),
        ("status", ""),
        ("page", "2"),
    ],
)
async def test_what_cannot_be_used_is_refused_by_name(
    client: AsyncClient, field: str, value: str
) -> None:
    answer = await client.get("/jobs", params={field: value})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["problem"]
    assert error["remedy"]


async def test_any_cursor_is_answered(client: AsyncClient) -> None:
    jobs = await submit(client, "a cat")
    for cursor, found in ((0, []), (1, []), (2**53, jobs)):
        assert await read(client, "/jobs", cursor=cursor) == (found, None)
