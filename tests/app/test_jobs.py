"""GET /jobs/{job_id}: a job from queued to its end."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient

from tests.app.conftest import PlayedWorker


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
