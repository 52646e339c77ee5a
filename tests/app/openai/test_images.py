"""Pictures by the real openai package, as anyone calls it."""

import asyncio
import base64
from typing import Any

import pytest
from openai import DEFAULT_TIMEOUT, AsyncOpenAI, BadRequestError, DefaultHttpxClient, OpenAI
from openai.types import ImagesResponse
from redis.asyncio import Redis

from app.openai.request import DEADLINE_S
from app.settings import ApiSettings
from tests.app.conftest import PNG, PlayedWorker, new_key
from tests.app.openai.conftest import Painter, Service, serving, started
from tests.valkey import read_all
from workers.jobs.job import Priority

pytestmark = pytest.mark.usefixtures("served")


async def drawn(openai: AsyncOpenAI, worker: PlayedWorker, **asked: Any) -> ImagesResponse:
    """The answer to images.generate while the worker draws one job."""
    asking = openai.images.generate(**{"prompt": "a cat", "size": "32x32", **asked})
    answer, _ = await asyncio.gather(asking, worker.draw())
    assert isinstance(answer, ImagesResponse)
    return answer


async def test_a_picture_comes_as_a_url(
    openai: AsyncOpenAI, service: Service, worker: PlayedWorker
) -> None:
    answer = await drawn(openai, worker)
    assert (answer.size, answer.background, answer.output_format) == ("32x32", "opaque", "png")
    assert answer.usage is None
    job = await service.job()
    assert job.finished_at is not None
    assert answer.created == int(job.finished_at)
    (picture,) = answer.data or []
    assert picture.to_dict() == {"url": f"{service.url}/images/{job.id}/0.png"}
    async with service.http() as client:
        assert (await client.get(str(picture.url))).content == PNG


async def test_pictures_come_as_base64_in_the_order_of_their_seeds(
    openai: AsyncOpenAI, worker: PlayedWorker
) -> None:
    answer = await drawn(openai, worker, n=3, response_format="b64_json")
    assert answer.data is not None
    assert [picture.url for picture in answer.data] == [None] * 3
    assert [base64.b64decode(picture.b64_json or "") for picture in answer.data] == [PNG] * 3


async def test_a_client_that_is_not_asynchronous(
    settings: ApiSettings, worker: PlayedWorker
) -> None:
    def ask(url: str) -> ImagesResponse:
        with OpenAI(
            base_url=f"{url}/v1",
            api_key="unused",
            max_retries=0,
            http_client=DefaultHttpxClient(trust_env=False),
        ) as client:
            return client.images.generate(prompt="a cat", size="32x32")

    async with serving(settings) as service:
        answer, _ = await asyncio.gather(asyncio.to_thread(ask, service.url), worker.draw())
    assert answer.data is not None
    assert len(answer.data) == 1


@pytest.mark.parametrize(
    ("size", "stages", "shape"),
    [
        ("auto", ["32", "128", "512"], (512, 512)),
        (None, ["32", "128", "512"], (512, 512)),
        ("128x128", ["32", "128"], (128, 128)),
        ("160x96", ["32", "128"], (160, 96)),
        ("32x32", ["32"], (32, 32)),
    ],
)
async def test_a_size_says_which_stages_run(
    openai: AsyncOpenAI,
    service: Service,
    worker: PlayedWorker,
    size: str | None,
    stages: list[str],
    shape: tuple[int, int],
) -> None:
    answer = await drawn(openai, worker, size=size)
    assert answer.size == "{}x{}".format(*shape)
    parameters = (await service.job()).parameters
    assert [stage.name for stage in parameters.stages] == stages
    assert (parameters.width, parameters.height) == shape


async def test_our_own_fields_mean_what_they_mean_in_generate(
    openai: AsyncOpenAI, service: Service, worker: PlayedWorker
) -> None:
    own = {
        "seed": 7,
        "negative_prompt": "a dog",
        "steps": [20, 5],
        "guidance_scale": [3.0, 1.5],
        "guidance_interval": [0.1, 0.8],
        "sampler": ["ddim", "dpmpp"],
        "eta": 0.5,
        "aug_level": 0.3,
        "priority": "low",
        "deadline_s": 60,
    }
    raw, _ = await asyncio.gather(
        openai.images.with_raw_response.generate(
            prompt="a cat", n=2, size="128x128", extra_body=own
        ),
        worker.draw(),
    )
    assert raw.headers["cache-control"] == "no-store"
    async with service.http() as client:
        job = (await client.get(raw.headers["location"])).json()
        wanted = {**own, "prompt": "a cat", "n": 2, "size": 128}
        del wanted["priority"], wanted["deadline_s"]
        same = (await client.post("/generate", json=wanted)).json()
        await client.post(same["urls"]["cancel"])
    assert job["parameters"] == same["parameters"]
    assert job["parameters"]["seed"] == 7
    assert job["priority"] == "low"
    jobs = await service.services.history.page("", most=2)
    ours = jobs.jobs[1]
    assert ours.deadline_at == pytest.approx(ours.created_at + 60, abs=0.01)


async def test_no_one_waits_longer_than_the_client_would(
    openai: AsyncOpenAI, service: Service, worker: PlayedWorker
) -> None:
    await drawn(openai, worker)
    job = await service.job()
    patience_s = DEFAULT_TIMEOUT.read
    assert patience_s is not None
    assert patience_s > DEADLINE_S
    assert job.deadline_at == pytest.approx(job.created_at + DEADLINE_S, abs=0.01)


async def test_as_you_like_it(openai: AsyncOpenAI, worker: PlayedWorker) -> None:
    answer = await drawn(
        openai,
        worker,
        model="picture-book",
        n=None,
        quality="auto",
        background="auto",
        moderation="auto",
        output_format="png",
        response_format=None,
        style=None,
        stream=False,
        partial_images=0,
        extra_body={"style": "auto"},
    )
    assert len(answer.data or ()) == 1
    assert (await drawn(openai, worker, quality="standard", background="opaque")).data


async def test_who_asks_is_not_kept(
    openai: AsyncOpenAI, worker: PlayedWorker, redis: Redis
) -> None:
    await drawn(openai, worker, user="ann@example.com", safety_identifier="ann@example.com")
    assert "ann@" not in repr(await read_all(redis))


async def test_a_job_belongs_to_the_owner_of_the_key(
    settings: ApiSettings, redis: Redis, worker: PlayedWorker
) -> None:
    header = await new_key(redis, "ann", Priority.LOW)
    key = header["authorization"].removeprefix("Bearer ")
    async with started(settings.model_copy(update={"auth": "auto"})) as service:
        async with service.client(api_key=key) as openai:
            await drawn(openai, worker)
        job = await service.job("ann")
    assert job.priority is Priority.LOW


async def test_without_any_keys_this_machine_may_send_what_it_likes(
    settings: ApiSettings, worker: PlayedWorker
) -> None:
    async with (
        serving(settings.model_copy(update={"auth": "auto"})) as service,
        service.client(api_key="sk-something") as openai,
    ):
        assert (await drawn(openai, worker)).data


async def test_what_is_left_of_a_quota_is_told(settings: ApiSettings, worker: PlayedWorker) -> None:
    quota = settings.model_copy(update={"owner_images_per_minute": 4})
    async with started(quota) as service, service.client() as openai:
        asking = openai.images.with_raw_response.generate(prompt="a cat", size="32x32")
        raw, _ = await asyncio.gather(asking, worker.draw())
    assert raw.headers["ratelimit-policy"] == '"images-per-minute";q=4;w=60'
    assert raw.headers["ratelimit"].startswith('"images-per-minute";r=3')


async def test_one_picture_of_two_is_black(openai: AsyncOpenAI, painter: Painter) -> None:
    async def draw() -> None:
        first = await painter.begin()
        await painter.finish_as(first, None)
        await painter.finish_as(await painter.begin_next(first), "nsfw")

    asking = openai.images.generate(prompt="a cat", size="32x32", n=2)
    answer, _ = await asyncio.gather(asking, draw())
    assert isinstance(answer, ImagesResponse)
    told = [picture.to_dict().get("blocked_by") for picture in answer.data or ()]
    assert told == [None, "nsfw"]


async def test_the_only_picture_is_black(openai: AsyncOpenAI, painter: Painter) -> None:
    async def draw() -> None:
        await painter.finish_as(await painter.begin(), "nsfw")

    asking = openai.images.generate(prompt="a cat", size="32x32")
    refused, _ = await asyncio.gather(asking, draw(), return_exceptions=True)
    assert isinstance(refused, BadRequestError)
    assert refused.code == "content_policy_violation"
    assert "nsfw" in refused.message
    assert refused.response.headers["x-should-retry"] == "false"
