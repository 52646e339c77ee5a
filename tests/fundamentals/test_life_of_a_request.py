"""From a prompt to a PNG. Read these in order: each test is one step further into the service."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient
from PIL import Image
from redis.asyncio import Redis

from model.cascade import Cascade
from tests.serving import api, until_ready, worker_settings, working
from workers.jobs.settings import QueueSettings


@pytest.fixture
async def client(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path
) -> AsyncIterator[AsyncClient]:
    """A client of a service with one worker; its cascade has stages of 8 and 16 px."""
    cascade = Cascade.load(tiny_cascade, "cpu")
    settings = worker_settings(queue_settings, tiny_cascade)
    async with working(cascade, settings), api(queue_settings) as client:
        await until_ready(client)
        yield client


async def test_a_prompt_becomes_a_job_at_once(client: AsyncClient) -> None:
    answer = await client.post("/generate", json={"prompt": "a red apple"})
    assert answer.status_code == 202
    assert answer.json()["status"] in ("queued", "running")
    assert answer.headers["location"] == answer.json()["urls"]["self"]
    await client.get(answer.headers["location"], headers={"prefer": "wait=30"})


async def test_a_job_can_be_waited_for(client: AsyncClient) -> None:
    asked = await client.post("/generate", json={"prompt": "a red apple"})
    ended = await client.get(asked.headers["location"], headers={"prefer": "wait=30"})
    assert ended.json()["status"] == "succeeded"


async def test_an_ended_job_has_the_url_of_its_png(client: AsyncClient) -> None:
    job = await client.post(
        "/generate", json={"prompt": "a red apple"}, headers={"prefer": "wait=30"}
    )
    assert job.status_code == 200
    picture = await client.get(job.json()["images"][0]["url"])
    assert picture.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.size == (16, 16)
        assert '"prompt":"a red apple"' in image.info["parameters"]


async def test_the_answer_repeats_every_value_and_draws_the_same_again(
    client: AsyncClient,
) -> None:
    wait = {"prefer": "wait=30"}
    first = (await client.post("/generate", json={"prompt": "a cat"}, headers=wait)).json()
    again = (await client.post("/generate", json=first["parameters"], headers=wait)).json()
    assert again["parameters"] == first["parameters"]
    pictures = [await client.get(job["images"][0]["url"]) for job in (first, again)]
    assert pictures[0].content == pictures[1].content


async def test_several_pictures_of_one_prompt_have_seeds_in_a_row(client: AsyncClient) -> None:
    request = {"prompt": "a cat", "n": 3, "seed": 2**32 - 1}
    job = await client.post("/generate", json=request, headers={"prefer": "wait=30"})
    assert [image["seed"] for image in job.json()["images"]] == [2**32 - 1, 0, 1]


async def test_a_smaller_size_ends_at_an_earlier_stage(client: AsyncClient) -> None:
    request = {"prompt": "a cat", "size": 8}
    job = (await client.post("/generate", json=request, headers={"prefer": "wait=30"})).json()
    assert job["stages"] == ["8"]
    assert (job["images"][0]["width"], job["images"][0]["height"]) == (8, 8)


async def test_a_picture_need_not_be_square(client: AsyncClient) -> None:
    """Every stage draws the same shape at its own size: 12 x 4 px, then 24 x 8 px."""
    request = {"prompt": "a cat", "width": 24, "height": 8}
    job = await client.post("/generate", json=request, headers={"prefer": "wait=30"})
    assert job.json()["parameters"]["size"] == 16
    picture = await client.get(job.json()["images"][0]["url"])
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.size == (24, 8)


async def test_each_stage_can_be_told_how_to_draw(client: AsyncClient) -> None:
    request = {
        "prompt": "a cat",
        "steps": [4, 2],
        "sampler": ["ddpm", "ddim"],
        "eta": 0.5,
        "guidance_scale": 3,
        "guidance_interval": [[0.2, 0.9], [0, 0.5]],
    }
    job = await client.post("/generate", json=request, headers={"prefer": "wait=30"})
    assert job.json()["status"] == "succeeded"
    told = job.json()["parameters"]
    assert (told["steps"], told["sampler"], told["eta"]) == ([4, 2], ["ddpm", "ddim"], [None, 0.5])
    assert told["guidance_scale"] == [3, 3]
    assert told["guidance_interval"] == [[0.2, 0.9], [0, 0.5]]


async def test_a_job_can_be_followed_as_it_is_drawn(client: AsyncClient) -> None:
    """As server-sent events: how far it is, what it looks like so far, each picture, its end."""
    request = {"prompt": "a cat", "n": 2, "steps": [100, 20]}
    job = (await client.post("/generate", json=request)).json()
    async with client.stream("GET", job["urls"]["events"]) as events:
        lines = [line async for line in events.aiter_lines()]
    told = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert (told[0], told[-1]) == ("state", "end")
    assert set(told) == {"state", "progress", "preview", "image", "end"}
    assert told.count("image") == 2


async def test_a_job_that_waits_tells_its_place_in_the_queue(client: AsyncClient) -> None:
    long = {"prompt": "a cat", "n": 16, "steps": 250}
    before = (await client.post("/generate", json=long)).json()
    job = (await client.post("/generate", json={"prompt": "a dog"})).json()
    assert (job["status"], job["queue_position"] >= 0) == ("queued", True)
    await client.post(before["urls"]["cancel"])
    ended = await client.get(job["urls"]["self"], headers={"prefer": "wait=30"})
    assert (ended.json()["queue_position"], ended.json()["progress"]) == (None, 1.0)


async def test_jobs_are_listed_the_newest_first(client: AsyncClient) -> None:
    for prompt in ("a cat", "a dog", "a black cat"):
        wait = {"prefer": "wait=30"}
        await client.post("/generate", json={"prompt": prompt}, headers=wait)
    listed = (await client.get("/jobs?prompt=cat&status=succeeded")).json()
    assert [job["parameters"]["prompt"] for job in listed["jobs"]] == ["a black cat", "a cat"]
    first = (await client.get("/jobs?limit=2")).json()
    older = (await client.get(first["next"])).json()
    assert [len(page["jobs"]) for page in (first, older)] == [2, 1]


async def test_a_job_can_be_canceled(client: AsyncClient) -> None:
    request = {"prompt": "a cat", "n": 4, "steps": 200}
    job = (await client.post("/generate", json=request)).json()
    canceled = await client.post(job["urls"]["cancel"])
    assert canceled.json()["status"] == "canceled"
    again = await client.post(job["urls"]["cancel"])
    assert again.json() == canceled.json()


async def test_a_request_that_is_sent_again_under_its_key_is_the_same_job(
    client: AsyncClient,
) -> None:
    """So a client that lost the answer can ask again without paying twice."""
    headers = {"prefer": "wait=30", "idempotency-key": "my-first-cat"}
    first = await client.post("/generate", json={"prompt": "a cat"}, headers=headers)
    again = await client.post("/generate", json={"prompt": "a cat"}, headers=headers)
    assert again.json() == first.json()
    other = await client.post("/generate", json={"prompt": "a dog"}, headers=headers)
    assert other.status_code == 422


async def test_a_job_that_comes_too_late_expires(client: AsyncClient) -> None:
    request = {"prompt": "a cat", "n": 16, "steps": 250, "deadline_s": 0.05}
    job = await client.post("/generate", json=request, headers={"prefer": "wait=30"})
    assert job.json()["status"] == "expired"
    assert job.json()["error"]["code"] == "deadline_passed"


async def test_a_deleted_job_has_neither_prompt_nor_picture(client: AsyncClient) -> None:
    job = await client.post("/generate", json={"prompt": "a cat"}, headers={"prefer": "wait=30"})
    url = job.json()["images"][0]["url"]
    deleted = await client.delete(job.json()["urls"]["self"])
    assert deleted.json()["deleted"]
    assert (deleted.json()["parameters"]["prompt"], deleted.json()["images"]) == ("", [])
    assert (await client.get(url)).status_code == 404


async def test_a_wrong_request_is_told_every_field_and_what_to_do(client: AsyncClient) -> None:
    answer = await client.post("/generate", json={"prompt": "", "guidence_scale": 4, "n": 999})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    remedies = {error["field"]: error["remedy"] for error in answer.json()["errors"]}
    assert remedies.keys() == {"prompt", "guidence_scale", "n"}
    assert "guidance_scale" in remedies["guidence_scale"]


async def test_the_service_says_what_it_serves_and_where(client: AsyncClient) -> None:
    model = (await client.get("/model")).json()
    assert model["cascade"]["name"] == "tiny"
    assert [stage["size"] for stage in model["cascade"]["stages"]] == [8, 16]
    (worker,) = model["workers"]
    assert {name: place["device"] for name, place in worker["stages"].items()} == {
        "text": "cpu",
        "8": "cpu",
        "16": "cpu",
    }
