"""POST /generate: accepted, waited for, or refused."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from httpx import AsyncClient, Response
from pydantic import HttpUrl
from redis.asyncio import Redis

from app.orders.body import MAX_BODY_BYTES
from app.processes.embedded_queue import EmbeddedQueue
from app.settings import ApiSettings
from tests.app.conftest import CARD, PNG, PlayedWorker, client_of, show
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.job import TEXT_STAGE
from workers.jobs.queue import Queue

JSON = {"content-type": "application/json"}


async def post(
    client: AsyncClient, content: str | bytes, kind: str = JSON["content-type"]
) -> Response:
    return await client.post("/generate", content=content, headers={"content-type": kind})


@pytest.mark.usefixtures("served")
async def test_a_job_is_accepted_with_every_value_decided(client: AsyncClient) -> None:
    answer = await client.post(
        "/generate", json={"prompt": "a red apple", "seed": 7, "size": 128, "steps": [20, 5]}
    )
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == job["urls"]["self"]
    assert job["urls"]["self"] == f"http://imagen.test/jobs/{job['id']}"
    assert "preference-applied" not in answer.headers
    assert job["status"] == "queued"
    assert job["stages"] == ["32", "128"]
    assert job["parameters"] == {
        "prompt": "a red apple",
        "negative_prompt": "",
        "n": 1,
        "size": 128,
        "width": 128,
        "height": 128,
        "seed": 7,
        "steps": [20, 5],
        "guidance_scale": [4.0, 1.0],
        "guidance_interval": [[0.0, 1.0], [0.2, 0.9]],
        "sampler": ["ddim", "dpmpp"],
        "eta": [0.0, None],
        "aug_level": [0.1],
        "adapters": [],
    }
    assert (job["images"], job["error"], job["started_at"]) == ([], None, None)
    assert (job["priority"], job["deadline_at"], job["deleted"]) == ("normal", None, False)
    assert job["urls"]["cancel"] == f"{job['urls']['self']}/cancel"
    assert datetime.fromisoformat(job["created_at"]).utcoffset() is not None


@pytest.mark.usefixtures("served")
async def test_the_parameters_of_an_answer_are_a_request(client: AsyncClient) -> None:
    asked = {"prompt": "a cat", "n": 2, "size": 128, "width": 64, "eta": 0.5}
    first = await client.post("/generate", json=asked)
    assert first.json()["parameters"].items() >= {"width": 64, "height": 128}.items()
    again = await client.post("/generate", json=first.json()["parameters"])
    assert again.status_code == 202
    assert again.json()["parameters"] == first.json()["parameters"]


@pytest.mark.usefixtures("served")
async def test_a_client_that_waits_gets_its_pictures(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    body = {"prompt": "a cat", "n": 2, "seed": 2**32 - 1}
    answer, _ = await asyncio.gather(
        client.post("/generate", json=body, headers={"prefer": "wait=60, respond-async"}),
        worker.draw(),
    )
    job = answer.json()
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=60"
    assert job["status"] == "succeeded"
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert [(image["index"], image["seed"]) for image in job["images"]] == [(0, 2**32 - 1), (1, 0)]
    assert all((image["width"], image["height"]) == (512, 512) for image in job["images"])
    picture = await client.get(job["images"][1]["url"])
    assert picture.content == PNG


@pytest.mark.usefixtures("served")
async def test_a_job_that_fails_while_the_client_waits_says_why(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    answer, _ = await asyncio.gather(
        client.post("/generate", json={"prompt": "a cat"}, headers={"prefer": "wait=60"}),
        worker.fail(),
    )
    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["error"] == {
        "code": "out_of_paint",
        "message": "there is no red left",
        "image": None,
    }


@pytest.mark.usefixtures("served")
async def test_a_wait_that_is_too_short_ends_in_an_accepted_job(settings: ApiSettings) -> None:
    async with client_of(settings.model_copy(update={"max_wait_s": 0})) as client:
        answer = await client.post(
            "/generate", json={"prompt": "a cat"}, headers={"prefer": "wait=600"}
        )
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"
    assert answer.json()["status"] == "queued"


async def test_a_queue_that_goes_away_during_the_wait_does_not_cost_the_id(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder: Path = tmp_path_factory.mktemp("q")
    with EmbeddedQueue(folder) as server:
        settings = ApiSettings(redis_url=server.url, data_dir=folder, max_wait_s=1, auth="none")
        show(settings, CARD)
        redis = connect(settings)
        worker = PlayedWorker(Queue(redis, settings), FolderImageStore(settings.images_dir))
        async with client_of(settings) as client:
            posted = asyncio.create_task(
                client.post("/generate", json={"prompt": "a cat"}, headers={"prefer": "wait=1"})
            )
            task = await worker.accept()
            await redis.aclose()
            server.stop()
            answer = await posted
    assert answer.status_code == 202
    assert answer.json()["id"] == task.job_id


@pytest.mark.usefixtures("served")
async def test_urls_are_public_where_a_public_url_is_set(settings: ApiSettings) -> None:
    public = settings.model_copy(update={"public_url": HttpUrl("https://pictures.example/api/")})
    async with client_of(public) as client:
        answer = await client.post("/generate", json={"prompt": "a cat"})
    assert answer.headers["location"].startswith("https://pictures.example/api/jobs/")


@pytest.mark.usefixtures("served")
async def test_all_that_is_wrong_is_told_with_its_remedy(client: AsyncClient) -> None:
    body = {"prompt": "a cat", "guidence_scale": 4, "steps": [30, 0, 4], "n": 9, "seed": True}
    answer = await client.post("/generate", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", 422)
    assert {error["field"]: error["remedy"] for error in problem["errors"]} == {
        "guidence_scale": "did you mean guidance_scale?",
        "steps[1]": "use a whole number from 1 to 100",
        "n": "use a whole number from 1 to 4",
        "seed": "use a whole number from 0 to 4294967295, or leave it out for a random one",
    }
    assert all(error["field"] in problem["detail"] for error in problem["errors"])


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("content", "field", "problem"),
    [
        (b"", "body", "is not JSON"),
        (b'{"prompt": "a cat"', "body", "is not JSON"),
        (b"{'prompt': 'a cat'}", "body", "is not JSON"),
        (b'{"prompt": "\xff"}', "body", "is not JSON"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "body", "is not JSON"),
        (b"[" * 50_000, "body", "is nested too deeply"),
        (b'"a cat"', "body", "is not an object"),
        (b'{"prompt": "a cat", "seed": 1, "seed": 2}', "seed", "is given more than once"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "\\ud800", "is given more than once"),
        (b'{"prompt": "a cat", "guidance_scale": NaN}', "guidance_scale", "is not a finite number"),
        (b'{"prompt": "a cat", "guidance_scale": 1e999}', "guidance_scale", "is not a finite"),
        (b'{"prompt": "a cat", "steps": 20.0}', "steps", "is not an integer"),
        (b'{"prompt": "\\ud83d"}', "prompt", "has a lone surrogate in it"),
        (b'{"prompt": "a\\u0000"}', "prompt", "has a NUL character in it"),
        (b'{"prompt": "a", "negative_prompt": "\\udc00"}', "negative_prompt", "has a lone surrog"),
        (b'{"prompt": "a", "negative_prompt": "\\u0000"}', "negative_prompt", "has a NUL char"),
    ],
)
async def test_json_is_read_strictly(
    client: AsyncClient, content: bytes, field: str, problem: str
) -> None:
    answer = await post(client, content)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["problem"].startswith(problem)
    assert error["remedy"]


@pytest.mark.usefixtures("served")
async def test_a_name_that_is_no_text_is_refused(client: AsyncClient) -> None:
    answer = await post(client, b'{"prompt": "a cat", "\\ud800": 1}')
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_page_of_another_site_cannot_post_unasked(client: AsyncClient, kind: str) -> None:
    answer = await post(client, '{"prompt": "a cat"}', kind)
    assert answer.status_code == 415
    assert "content-type: application/json" in answer.json()["remedy"]


@pytest.mark.usefixtures("served")
async def test_a_content_type_may_name_its_charset(client: AsyncClient) -> None:
    answer = await post(client, '{"prompt": "a cat"}', "Application/JSON; charset=utf-8")
    assert answer.status_code == 202


@pytest.mark.usefixtures("served")
async def test_a_body_has_a_limit(client: AsyncClient) -> None:
    spaces = b" " * MAX_BODY_BYTES
    assert (await post(client, spaces)).status_code == 422
    answer = await post(client, spaces + b" ")
    assert answer.status_code == 413
    assert answer.json()["remedy"] == "send a shorter prompt"


async def test_without_a_worker_nothing_is_accepted(client: AsyncClient, redis: Redis) -> None:
    answer = await client.post("/generate", json={"prompt": "a cat"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["remedy"] == "start one with `imagen worker`"
    assert await redis.exists(keys.ready(TEXT_STAGE)) == 0
