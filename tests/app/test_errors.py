"""Every error is a problem document."""

import pytest
from httpx import ASGITransport, AsyncClient

from app.main import create_app
from app.settings import ApiSettings


async def test_an_unknown_path(client: AsyncClient) -> None:
    answer = await client.get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
        "remedy": "/docs lists the paths there are",
    }


async def test_a_method_that_a_path_has_not(client: AsyncClient) -> None:
    answer = await client.get("/generate")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "POST"
    assert answer.json()["remedy"] == "use POST"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/generate", "POST"),
        ("/jobs/1", "DELETE, GET"),
        ("/jobs/1/cancel", "POST"),
        ("/images/1/0.png", "GET, HEAD"),
        ("/model", "GET"),
        ("/webhooks/secret", "GET"),
    ],
)
async def test_all_the_methods_of_a_path_are_told(
    client: AsyncClient, path: str, allowed: str
) -> None:
    answer = await client.put(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["remedy"] == f"use {allowed.replace(', ', ' or ')}"


async def test_a_path_with_a_slash_too_many_is_none(client: AsyncClient) -> None:
    for path in ("/jobs/1/", "/generate/", "/model/"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bug_tells_nothing_of_our_insides(settings: ApiSettings) -> None:
    app = create_app(settings)  # not started, so its services are missing
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://imagen.test") as client:
        answer = await client.get("/model")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "services" not in answer.text
