"""Each error as the openai package raises it: its own class, with field, code and remedy."""

import asyncio
from typing import Any

import openai as package
import pytest
from httpx import ASGITransport, AsyncClient, Response
from openai import AsyncOpenAI
from redis.asyncio import Redis

from app.main import create_app
from app.orders.body import MAX_BODY_BYTES
from app.settings import ApiSettings
from tests.app.conftest import CARD, PlayedWorker, show
from tests.app.openai.conftest import Service, started

JSON = "application/json"


def told(answer: Response) -> dict[str, Any]:
    """The error in its envelope."""
    assert answer.headers["content-type"] == JSON
    assert answer.json().keys() == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


async def refused(openai: AsyncOpenAI, **asked: Any) -> package.APIStatusError:
    """What images.generate raises."""
    with pytest.raises(package.APIStatusError) as raised:
        await openai.images.generate(**{"prompt": "a cat", "size": "32x32", **asked})
    return raised.value


@pytest.mark.usefixtures("served")
async def test_a_field_that_cannot_be_used_is_named_with_the_remedy(openai: AsyncOpenAI) -> None:
    error = await refused(openai, size="33x32", style="vivid", extra_body={"seed": "x"})
    assert isinstance(error, package.BadRequestError)
    assert (error.type, error.param) == ("invalid_request_error", "style")
    assert error.code == "invalid_value"
    for told in (
        "style is no value of this field: leave it out, and say in the prompt what you would like",
        "size has a width that is no multiple of 8: for the width use a multiple of 8 from",
        "seed is not an integer: use a whole number from 0 to 4294967295",
    ):
        assert told in error.message


@pytest.mark.usefixtures("served")
async def test_a_model_that_is_not_served(openai: AsyncOpenAI) -> None:
    error = await refused(openai, model="dall-e-3", size="1792x1024")
    assert isinstance(error, package.NotFoundError)
    assert (error.param, error.code) == ("model", "model_not_found")
    assert "picture-book" in error.message


async def test_a_key_is_needed(settings: ApiSettings, redis: Redis) -> None:
    show(settings, CARD)
    async with (
        started(settings.model_copy(update={"auth": "required"})) as service,
        service.client(api_key="sk-something") as openai,
    ):
        error = await refused(openai)
        with pytest.raises(package.AuthenticationError):
            await openai.models.list()
    assert isinstance(error, package.AuthenticationError)
    assert error.code == "invalid_api_key"
    assert "imagen keys make" in error.message
    assert error.response.headers["www-authenticate"] == "Bearer"


async def test_a_quota_has_no_room(settings: ApiSettings, redis: Redis) -> None:
    show(settings, CARD)
    quota = settings.model_copy(update={"owner_images_per_minute": 1})
    async with started(quota) as service, service.client() as openai:
        async with service.http() as client:
            await client.post("/generate", json={"prompt": "a cat"})
        error = await refused(openai)
    assert isinstance(error, package.RateLimitError)
    assert (error.type, error.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert "you have asked for too many images in a minute: try again after" in error.message
    assert 0 < int(error.response.headers["retry-after"]) <= 60
    assert error.response.headers["ratelimit"].startswith('"images-per-minute";r=0')
    assert "ratelimit-policy" in error.response.headers


async def test_no_worker_is_there(openai: AsyncOpenAI) -> None:
    error = await refused(openai)
    assert isinstance(error, package.InternalServerError)
    assert (error.status_code, error.type) == (503, "server_error")
    assert error.message.endswith("no worker is there to draw: start one with `imagen worker`")
    assert error.response.headers["retry-after"]


async def test_the_queue_is_away(settings: ApiSettings) -> None:
    nowhere = settings.model_copy(update={"redis_url": f"unix://{settings.data_dir}/nothing"})
    async with started(nowhere) as service, service.client() as openai:
        error = await refused(openai)
    assert (error.status_code, error.type) == (503, "server_error")
    assert "the queue cannot be reached" in error.message


@pytest.mark.usefixtures("served")
async def test_a_job_that_fails(openai: AsyncOpenAI, worker: PlayedWorker) -> None:
    error, _ = await asyncio.gather(refused(openai), worker.fail())
    assert isinstance(error, package.InternalServerError)
    assert (error.status_code, error.type, error.code) == (500, "server_error", "out_of_paint")
    assert "there is no red left" in error.message
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.usefixtures("served")
async def test_a_job_whose_deadline_passes(openai: AsyncOpenAI) -> None:
    error = await refused(openai, extra_body={"deadline_s": 0.05})
    assert isinstance(error, package.InternalServerError)
    assert (error.status_code, error.code) == (504, "deadline_passed")
    assert "allow more" in error.message
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("end", ["cancel", "delete"])
async def test_a_job_that_its_owner_ends(service: Service, openai: AsyncOpenAI, end: str) -> None:
    async def end_it() -> str:
        url = f"{service.url}/jobs/{(await service.job()).id}"
        async with service.http() as client:
            await (client.delete(url) if end == "delete" else client.post(f"{url}/cancel"))
        return url

    error, url = await asyncio.gather(refused(openai), end_it())
    assert isinstance(error, package.ConflictError)
    assert error.code == "job_canceled"
    assert error.response.headers["location"] == url


@pytest.mark.usefixtures("served")
async def test_a_service_that_stops_says_so(openai: AsyncOpenAI, service: Service) -> None:
    """Another may go on: the client tries again by itself."""
    asking = asyncio.create_task(refused(openai))
    job = await service.job()
    async with asyncio.timeout(10):
        while not service.services.watcher.bells.waiting(job.id):
            await asyncio.sleep(0)
        service.services.end_waits()
        error = await asking
    assert (error.status_code, error.code) == (503, "service_stopping")
    assert error.response.headers["retry-after"]
    assert (await service.services.watcher.wait(job.id, 10)).status.terminal


@pytest.mark.usefixtures("served")
async def test_what_no_route_is_asked(client: AsyncClient) -> None:
    for method, path, status, message in (
        ("POST", "/v1/images/edits", 404, "/docs lists the paths"),
        ("GET", "/v1/nothing", 404, "/docs lists the paths"),
        ("GET", "/v1/images/generations", 405, "use POST"),
        ("PUT", "/v1/models", 405, "use GET"),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert ("allow" in answer.headers) == (status == 405)
        error = told(answer)
        assert message in error["message"]
        assert (error["type"], error["param"]) == ("invalid_request_error", None)


@pytest.mark.usefixtures("served")
async def test_a_body_that_cannot_be_read(client: AsyncClient) -> None:
    for body, content_type, status, message in (
        (b"{", JSON, 400, "body is not JSON"),
        (b"[]", JSON, 400, "body is not an object: send an object, as in"),
        (b'{"n": 1, "n": 2}', JSON, 400, "n is given more than once"),
        (b" " * (MAX_BODY_BYTES + 1), JSON, 413, "the body is too large"),
        (b"{}", "text/plain", 415, "send the header `content-type: application/json`"),
    ):
        headers = {"content-type": content_type}
        answer = await client.post("/v1/images/generations", content=body, headers=headers)
        assert answer.status_code == status
        assert message in told(answer)["message"]


async def test_a_bug_tells_nothing_of_our_insides(settings: ApiSettings) -> None:
    app = create_app(settings)  # not started, so its services are missing
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://imagen.test") as client:
        error = told(await client.get("/v1/models"))
    assert error["type"] == "server_error"
    assert "a bug of its own" in error["message"]
    assert "services" not in error["message"]


@pytest.mark.usefixtures("served")
async def test_other_paths_answer_as_ever(client: AsyncClient) -> None:
    for path in ("/generate", "/nothing", "/v1", "/v10/models"):
        answer = await client.post(path, json={})
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"
