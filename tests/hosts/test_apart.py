"""Stages apart, each worker on a host of its own; hosts are cut off: no packet, and no reset."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from benchmarks.deployment import queue_on
from benchmarks.network import Host, NoHosts, network
from model.cascade import Cascade
from tests.faults import during
from tests.hosts.apart import Working, working_on
from tests.serving import api, until_ready, worker_settings, working
from tests.test_service import ONE_LEVEL, check_pictures, drawn
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.settings import QueueSettings

STAGES = {"text": "text", "base": "8", "sr-1": "16", "sr-2": "16"}
"""By the host of their worker."""

WAITING = {"prefer": "wait=60"}

LONGEST_ANSWER_S = 9.0
"""Five, and what a busy machine takes."""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Mapping[str, Host]]:
    with ExitStack() as stack:
        try:
            hosts = stack.enter_context(network("queue", "api", "spare", *STAGES))
        except NoHosts as reason:
            pytest.skip(str(reason))
        yield hosts


@pytest.fixture(scope="module")
def queue(
    hosts: Mapping[str, Host], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[QueueSettings]:
    with queue_on(hosts["queue"]) as url:
        folder = tmp_path_factory.mktemp("shared")
        yield QueueSettings(redis_url=url, data_dir=folder, lease_s=2.0)


@pytest.fixture(scope="module")
def workers(
    hosts: Mapping[str, Host], queue: QueueSettings, tiny_cascade: Path
) -> Iterator[Mapping[str, Working]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                working_on(hosts[name], worker_settings(queue, tiny_cascade, stages=(stage,)))
            )
            for name, stage in STAGES.items()
        }


@pytest.fixture
async def client(
    hosts: Mapping[str, Host], queue: QueueSettings, workers: Mapping[str, Working]
) -> AsyncIterator[AsyncClient]:
    """Of an API on its host, where the test then is as well."""
    with hosts["api"].entered():
        async with api(queue) as client:
            async with asyncio.timeout(60):
                while len(await serving(client)) < len(workers):
                    await asyncio.sleep(0.02)
            yield client


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu")


async def serving(client: AsyncClient) -> list[Any]:
    """The cards of the workers."""
    answer = await client.get("/model")
    return list(answer.json()["workers"]) if answer.is_success else []


@contextmanager
def held_up(*workings: Working) -> Iterator[tuple[Future[Working], threading.Event]]:
    """The first of them to take a step tells so, and goes on when the event is set."""
    stepping: Future[Working] = Future()
    go_on = threading.Event()

    def step(working: Working) -> None:
        if not stepping.done():
            stepping.set_result(working)
            assert go_on.wait(60)

    with ExitStack() as stack:
        stack.callback(go_on.set)
        for working in workings:
            (stage,) = working.cascade.stages
            stack.enter_context(during(stage.network.unet, partial(step, working)))
        yield stepping, go_on


async def until_said(caplog: pytest.LogCaptureFixture, working: Working, what: str) -> None:
    """Wait until the worker has logged it."""
    async with asyncio.timeout(60):
        while not any(
            record.threadName == working.thread and what in record.message
            for record in caplog.records
        ):
            await asyncio.sleep(0.02)


def next_call(working: Working, monkeypatch: pytest.MonkeyPatch) -> Future[None]:
    """Done when the worker asks its queue for something, before there can be an answer."""
    called: Future[None] = Future()
    queue = working.worker._queue
    run = queue._run

    async def tell_and_run(*arguments: Any) -> Any:
        if not called.done():
            called.set_result(None)
        return await run(*arguments)

    monkeypatch.setattr(queue, "_run", tell_and_run)
    return called


async def test_stages_apart_draw_what_one_worker_draws(
    client: AsyncClient,
    redis: Redis,
    queue_settings: QueueSettings,
    tiny_cascade: Path,
    cascade: Cascade,
) -> None:
    request = {"prompt": "a red cat", "n": 3, "seed": 11}
    apart = (await client.post("/generate", json=request, headers=WAITING)).json()
    async with (
        working(cascade, worker_settings(queue_settings, tiny_cascade)),
        api(queue_settings) as whole,
    ):
        await until_ready(whole)
        one = (await whole.post("/generate", json=request, headers=WAITING)).json()
        for ours, theirs in zip(apart["images"], one["images"], strict=True):
            picture, same = await drawn(client, ours["url"]), await drawn(whole, theirs["url"])
            assert np.abs(picture - same).max() <= ONE_LEVEL
    told = [stage for worker in await serving(client) for stage in worker["stages"]]
    assert sorted(told) == sorted(STAGES.values())


async def test_what_a_host_was_drawing_when_it_was_cut_off_another_finishes(
    client: AsyncClient,
    queue: QueueSettings,
    workers: Mapping[str, Working],
    cascade: Cascade,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And when it is back it changes nothing, says so, and works."""
    caplog.set_level(logging.INFO)
    both = workers["sr-1"], workers["sr-2"]
    with held_up(*both) as (stepping, go_on):
        job = (await client.post("/generate", json={"prompt": "a red cat", "seed": 11})).json()
        one = await asyncio.wrap_future(stepping)
        with one.host.cut_off():
            go_on.set()
            done = (await client.get(job["urls"]["self"], headers=WAITING)).json()
    await until_said(caplog, one, f"job {job['id']}: too late at stage 16")
    assert (await client.get(job["urls"]["self"])).json() == done
    await check_pictures(client, cascade, done)
    (other,) = (each for each in both if each is not one)
    with other.host.cut_off():
        again = await client.post("/generate", json={"prompt": "a dog"}, headers=WAITING)
        await check_pictures(client, cascade, again.json())


async def test_the_only_host_of_a_stage_goes_on_when_it_is_back(
    client: AsyncClient, queue: QueueSettings, workers: Mapping[str, Working], cascade: Cascade
) -> None:
    base = workers["base"]
    with held_up(base) as (stepping, go_on):
        job = (await client.post("/generate", json={"prompt": "a dog", "seed": 5})).json()
        await asyncio.wrap_future(stepping)
        async with connect(queue) as redis, asyncio.timeout(60):
            with base.host.cut_off():
                go_on.set()
                while await redis.exists(keys.worker(base.worker.name)):
                    await asyncio.sleep(0.02)
                assert (await client.get(job["urls"]["self"])).json()["status"] == "running"
    answer = await client.get(job["urls"]["self"], headers=WAITING)
    await check_pictures(client, cascade, answer.json())


async def test_without_the_queues_host_the_api_answers_and_a_worker_stops_in_time(
    client: AsyncClient,
    hosts: Mapping[str, Host],
    queue: QueueSettings,
    tiny_cascade: Path,
    cascade: Cascade,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = worker_settings(queue, tiny_cascade, stages=("16",))
    with working_on(hosts["spare"], settings) as spare:
        async with asyncio.timeout(60):
            while len(await serving(client)) <= len(STAGES):
                await asyncio.sleep(0.02)
        with hosts["queue"].cut_off():
            await asyncio.wrap_future(next_call(spare, monkeypatch))
            spare.stop()
            began_s = time.monotonic()
            answer = await client.post("/generate", json={"prompt": "a cat"})
            assert time.monotonic() - began_s < LONGEST_ANSWER_S
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert (await client.get("/livez")).status_code == 200
            await asyncio.wrap_future(spare.ended)  # and did not take a silent queue for a step
            await until_said(caplog, spare, "stopped while the queue was away, others take over")
    await until_ready(client)
    job = await client.post("/generate", json={"prompt": "a cat"}, headers=WAITING)
    await check_pictures(client, cascade, job.json())
