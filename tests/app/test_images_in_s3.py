"""Pictures in an object store: sent by the API, or by the store itself at a URL signed for it."""

import asyncio
from pathlib import Path

import pytest
from httpx import AsyncClient, Response
from redis.asyncio import Redis

from app.main import create_app
from app.settings import ApiSettings
from model.cascade import Cascade
from tests.app.conftest import PNG, PlayedWorker, client_of
from tests.object_store import is_signed_for, use_s3
from tests.serving import api, until_ready, worker_settings, working
from workers.jobs.errors import InvalidImageStore
from workers.jobs.open_images import open_image_store
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings


@pytest.fixture
def in_s3(settings: ApiSettings, bucket_url: str) -> ApiSettings:
    return ApiSettings.model_validate({**settings.model_dump(), "images_url": bucket_url})


@pytest.fixture
def redirecting(in_s3: ApiSettings) -> ApiSettings:
    told = {"images_delivery": "redirect", "images_url_ttl_s": 90}
    return ApiSettings.model_validate({**in_s3.model_dump(), **told})


@pytest.fixture
def painter(in_s3: ApiSettings, redis: Redis) -> PlayedWorker:
    return PlayedWorker(Queue(redis, in_s3), open_image_store(in_s3))


async def drawn(client: AsyncClient, painter: PlayedWorker) -> str:
    """The path of a picture that was drawn just now."""
    job = (await client.post("/generate", json={"prompt": "a cat"})).json()
    await painter.draw()
    return f"/images/{job['id']}/0.png"


async def at_the_store(answer: Response) -> Response:
    """What a client gets who goes where it is sent."""
    async with AsyncClient(trust_env=False) as client:
        return await client.request(answer.request.method, answer.headers["location"])


async def test_what_a_worker_stores_the_api_sends_and_deletes(
    queue_settings: QueueSettings, redis: Redis, tiny_cascade: Path, bucket_url: str
) -> None:
    shared = queue_settings.model_copy(update={"images_url": bucket_url})
    worker = worker_settings(shared, tiny_cascade)
    cascade = await asyncio.to_thread(Cascade.load, tiny_cascade, "cpu,float32")
    async with api(shared) as client, working(cascade, worker):
        await until_ready(client)
        wait = {"prefer": "wait=60"}
        job = (await client.post("/generate", json={"prompt": "a cat"}, headers=wait)).json()
        url = job["images"][0]["url"]
        picture = await client.get(url)
        assert picture.content.startswith(b"\x89PNG")
        assert picture.headers["cache-control"] == "private, max-age=31536000, immutable"
        not_again = await client.get(url, headers={"if-none-match": picture.headers["etag"]})
        assert not_again.status_code == 304
        assert (await client.delete(f"/jobs/{job['id']}")).status_code == 200
        assert (await client.get(url)).status_code == 404
    assert not queue_settings.images_dir.exists()


@pytest.mark.usefixtures("served")
async def test_a_client_is_sent_to_the_store_with_a_url_for_a_while(
    redirecting: ApiSettings, painter: PlayedWorker
) -> None:
    async with client_of(redirecting) as client:
        path = await drawn(client, painter)
        answer = await client.get(path)
        assert answer.status_code == 307
        assert answer.headers["cache-control"] == "private, no-store"
        assert "X-Amz-Expires=90&" in answer.headers["location"]
        picture = await at_the_store(answer)
        assert (picture.content, picture.headers["content-type"]) == (PNG, "image/png")
        head = await client.head(path)
        assert (head.status_code, head.content) == (307, b"")
        assert is_signed_for("GET", answer.headers["location"])
        assert is_signed_for("HEAD", head.headers["location"])
        assert (await at_the_store(head)).headers["content-length"] == str(len(PNG))
        assert (await client.get(path, params={"download": True})).content == PNG


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", ["1.png", "x.png", "..%2f0.png"])
async def test_no_one_is_sent_to_what_is_not_there(
    redirecting: ApiSettings, painter: PlayedWorker, name: str
) -> None:
    async with client_of(redirecting) as client:
        path = await drawn(client, painter)
        answer = await client.get(path.replace("0.png", name))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "location" not in answer.headers


@pytest.mark.usefixtures("served")
async def test_a_store_that_is_away_is_no_missing_picture(
    in_s3: ApiSettings, redirecting: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, "http://127.0.0.1:1")
    for settings in (in_s3, redirecting):
        async with client_of(settings) as client:
            answer = await client.get("/images/job-1/0.png")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "the image store is not available"
        assert "127.0.0.1" not in answer.text


@pytest.mark.usefixtures("served")
async def test_urls_are_signed_for_where_clients_reach_the_store(
    redirecting: ApiSettings, painter: PlayedWorker
) -> None:
    outside = {"images_public_url": "https://pictures.example/"}
    settings = ApiSettings.model_validate({**redirecting.model_dump(), **outside})
    async with client_of(settings) as client:
        location = (await client.get(await drawn(client, painter))).headers["location"]
        policy = (await client.get("/")).headers["content-security-policy"]
    assert location.startswith("https://pictures.example/bucket-")
    assert is_signed_for("GET", location)
    assert "img-src 'self' data: blob: https://pictures.example; " in policy


async def test_the_page_may_show_pictures_of_the_store_and_of_no_other_host(
    in_s3: ApiSettings, redirecting: ApiSettings, s3_endpoint: str, redis: Redis
) -> None:
    for settings, origin in ((in_s3, ""), (redirecting, f" {s3_endpoint}")):
        async with client_of(settings) as client:
            policy = (await client.get("/")).headers["content-security-policy"]
        assert f"img-src 'self' data: blob:{origin}; connect-src 'self'; " in policy


@pytest.mark.usefixtures("served")
async def test_pictures_in_answers_are_read_by_the_api(
    redirecting: ApiSettings, painter: PlayedWorker
) -> None:
    async with client_of(redirecting) as client:
        body = {"prompt": "a cat", "response_format": "b64_json"}
        asking = asyncio.create_task(client.post("/v1/images/generations", json=body))
        await painter.draw()
        answer = (await asking).json()
    assert answer["data"][0]["b64_json"].startswith("iVBORw0KGgo")


@pytest.mark.parametrize("images_url", [None, "file:///srv/pictures"])
def test_there_is_nowhere_to_send_clients_from_a_folder(
    settings: ApiSettings, images_url: str | None
) -> None:
    told = {"images_delivery": "redirect", "images_url": images_url}
    with pytest.raises(InvalidImageStore, match=r"IMAGEN_IMAGES_DELIVERY.*IMAGEN_IMAGES_URL"):
        create_app(settings.model_copy(update=told))
