"""The promises of the whole service, on a small untrained cascade with every other part real."""

import asyncio
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import AsyncClient
from numpy.typing import NDArray
from PIL import Image
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from model.cascade import Cascade
from model.plan import StageSettings
from model.samplers import Sampler
from tests.serving import api, start_worker_process, until_ready, worker_settings, working
from workers.capacity import network_options
from workers.jobs import keys
from workers.jobs.settings import QueueSettings

ONE_LEVEL = 1


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu")


async def drawn(client: AsyncClient, url: str) -> NDArray[np.int16]:
    answer = await client.get(url)
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image, dtype=np.int16)


def reference(cascade: Cascade, parameters: dict[str, Any], seed: int) -> NDArray[np.int16]:
    """What the slow loop draws for a job's parameters as answered."""
    size = parameters["size"]
    settings = {
        spec.name: StageSettings(
            steps=parameters["steps"][i],
            sampler=parameters["sampler"][i],
            guidance_scale=parameters["guidance_scale"][i],
            aug_level=parameters["aug_level"][i - 1] if i else None,
            eta=parameters["eta"][i] or 0.0,
            guidance_interval=tuple(parameters["guidance_interval"][i]),
            width=parameters["width"] * spec.size_px // size,
            height=parameters["height"] * spec.size_px // size,
        )
        for i, spec in enumerate(stage.spec for stage in cascade.stages)
        if spec.size_px <= size
    }
    picture = cascade.generate(
        parameters["prompt"],
        negative_prompt=parameters["negative_prompt"],
        seed=seed,
        size=size,
        settings=settings,
    )
    return picture.pixels.numpy().astype(np.int16)


async def check_pictures(client: AsyncClient, cascade: Cascade, job: dict[str, Any]) -> None:
    """Every picture of a finished job equals the reference loop's for its seed."""
    assert job["status"] == "succeeded", job
    assert [image["index"] for image in job["images"]] == list(range(job["parameters"]["n"]))
    for image in job["images"]:
        ours = await drawn(client, image["url"])
        expected = reference(cascade, job["parameters"], image["seed"])
        assert np.abs(ours - expected).max() <= ONE_LEVEL


def mixed_request(rng: random.Random) -> dict[str, Any]:
    size = rng.choice([8, 16])
    stages = 1 if size == 8 else 2
    samplers = [rng.choice(list(Sampler)) for _ in range(stages)]
    return {
        "prompt": rng.choice(["a cat", "a dog", "a red apple"]),
        "negative_prompt": rng.choice(["", "red"]),
        "n": rng.randint(1, 3),
        "size": size,
        "width": rng.choice([size, size * 3 // 2]),
        "height": rng.choice([size, size // 2]),
        "seed": rng.randrange(2**32),
        "steps": [rng.randint(1, 9) for _ in range(stages)],
        "guidance_scale": [rng.choice([1.0, 2.5, 7.0]) for _ in range(stages)],
        "guidance_interval": [rng.choice([[0.0, 1.0], [0.2, 0.8]]) for _ in range(stages)],
        "sampler": samplers,
        "eta": [rng.choice([0.0, 0.7]) if each == "ddim" else None for each in samplers],
        "aug_level": [rng.choice([0.0, 0.25])] * (stages - 1),
    }


async def test_fifty_clients_with_mixed_parameters_each_get_their_own_picture(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path, cascade: Cascade
) -> None:
    rng = random.Random(0)
    settings = worker_settings(queue_settings, tiny_cascade)
    async with working(cascade, settings), api(queue_settings) as client:
        await until_ready(client)
        asked = [mixed_request(rng) for _ in range(50)]
        answers = await asyncio.gather(
            *(client.post("/generate", json=each, headers={"prefer": "wait=60"}) for each in asked)
        )
        assert {answer.status_code for answer in answers} == {200}
        for request, answer in zip(asked, answers, strict=True):
            assert answer.json()["parameters"].items() >= request.items()
            await check_pictures(client, cascade, answer.json())


async def test_with_exact_rows_a_picture_is_the_same_to_the_last_bit_whatever_the_load(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path
) -> None:
    rng = random.Random(1)
    settings = worker_settings(queue_settings, tiny_cascade, exact_rows=4)
    cascade = Cascade.load(tiny_cascade, "cpu", network=network_options(settings))
    async with working(cascade, settings), api(queue_settings) as client:
        await until_ready(client)
        asked = [mixed_request(rng) for _ in range(12)]
        answers = await asyncio.gather(
            *(client.post("/generate", json=each, headers={"prefer": "wait=60"}) for each in asked)
        )
        for job in (answer.json() for answer in answers):
            for image in job["images"]:
                expected = reference(cascade, job["parameters"], image["seed"])
                assert np.array_equal(await drawn(client, image["url"]), expected)


async def test_two_workers_share_a_job_by_stage(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path, cascade: Cascade
) -> None:
    one = worker_settings(queue_settings, tiny_cascade, stages=("text", "16"))
    other = worker_settings(queue_settings, tiny_cascade, stages=("8",))
    async with (
        working(cascade, one),
        working(cascade, other),
        api(queue_settings) as client,
    ):
        await until_ready(client)
        job = await client.post(
            "/generate", json={"prompt": "a cat", "n": 3, "seed": 5}, headers={"prefer": "wait=60"}
        )
        await check_pictures(client, cascade, job.json())
        workers = (await client.get("/model")).json()["workers"]
        assert sorted(sorted(each["stages"]) for each in workers) == [["16", "text"], ["8"]]
        assert all(each["stages"]["16"]["rows"] > 0 for each in workers if "16" in each["stages"])


async def until_in_flight(redis: Redis, stage: str) -> None:
    """Wait until a worker holds a task of the stage: nothing tells of it, so Redis is asked."""
    async with asyncio.timeout(60):
        while not await redis.hlen(keys.held(stage)):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stage", ["8", "16"])
async def test_a_killed_worker_costs_no_job_and_changes_no_picture(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path, cascade: Cascade, stage: str
) -> None:
    quick = queue_settings.model_copy(update={"lease_s": 1.0})
    victim = await start_worker_process(worker_settings(quick, tiny_cascade, device="cpu"))
    async with api(quick) as client:
        try:
            await until_ready(client)
            request = {"prompt": "a red cat", "n": 2, "seed": 11, "steps": 150}
            job = (await client.post("/generate", json=request)).json()
            await until_in_flight(redis, stage)
        finally:
            victim.kill()
            await victim.wait()
        unfinished = (await client.get(job["urls"]["self"])).json()
        assert unfinished["status"] == "running"
        async with working(cascade, worker_settings(quick, tiny_cascade)):
            answer = await client.get(job["urls"]["self"], headers={"prefer": "wait=60"})
            await check_pictures(client, cascade, answer.json())


async def test_a_worker_started_before_redis_waits_says_so_and_then_serves(
    tmp_path: Path, tiny_cascade: Path, cascade: Cascade, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedQueue(tmp_path)
    server.start()
    settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
    server.stop()
    try:
        async with working(cascade, worker_settings(settings, tiny_cascade)):
            async with asyncio.timeout(20):
                while "waiting for the queue" not in caplog.text:
                    await asyncio.sleep(0.02)
            server.start()
            async with api(settings) as client:
                await until_ready(client)
                job = await client.post(
                    "/generate", json={"prompt": "a cat"}, headers={"prefer": "wait=60"}
                )
                await check_pictures(client, cascade, job.json())
    finally:
        server.stop()
