"""A client that goes away has its job canceled; one that stays does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from openai import APITimeoutError, AsyncOpenAI
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker
from tests.app.openai.conftest import Service, serving
from workers.jobs.job import JobStatus

pytestmark = pytest.mark.usefixtures("served")


@pytest.fixture
async def service(settings: ApiSettings, redis: Redis) -> AsyncIterator[Service]:
    """On a socket."""
    async with serving(settings) as service:
        yield service


async def ended(service: Service) -> JobStatus:
    """How the one job ends."""
    job = await service.job()
    return (await service.services.watcher.wait(job.id, timeout_s=10)).status


async def test_who_closes_the_connection_has_the_job_canceled(
    service: Service, openai: AsyncOpenAI
) -> None:
    asking = asyncio.create_task(openai.images.generate(prompt="a cat", size="32x32"))
    assert (await service.job()).status is JobStatus.QUEUED
    asking.cancel()
    assert await ended(service) is JobStatus.CANCELED


async def test_who_waits_no_longer_has_the_job_canceled(
    service: Service, openai: AsyncOpenAI
) -> None:
    with pytest.raises(APITimeoutError):
        await openai.images.generate(prompt="a cat", size="32x32", timeout=0.2)
    assert await ended(service) is JobStatus.CANCELED


async def test_a_picture_that_is_being_drawn_is_left(
    service: Service, openai: AsyncOpenAI, worker: PlayedWorker
) -> None:
    asking = asyncio.create_task(openai.images.generate(prompt="a cat", size="32x32"))
    await worker.begin()
    assert (await service.job()).status is JobStatus.RUNNING
    asking.cancel()
    assert await ended(service) is JobStatus.CANCELED


@pytest.mark.parametrize("most", [0, 3])
async def test_who_leaves_a_stream_has_the_job_canceled(
    service: Service, openai: AsyncOpenAI, most: int
) -> None:
    stream = await openai.images.generate(
        prompt="a cat", size="32x32", stream=True, partial_images=most
    )
    assert (await service.job()).status is JobStatus.QUEUED
    await stream.close()
    assert await ended(service) is JobStatus.CANCELED


async def test_nobody_is_left_waiting_for_one_who_is_gone(
    service: Service, openai: AsyncOpenAI
) -> None:
    for most in (0, 3):
        stream = await openai.images.generate(
            prompt="a cat", size="32x32", stream=True, partial_images=most
        )
        await stream.close()
    services = service.services
    async with asyncio.timeout(10):
        while services.watcher.bells.waiting() or services.events.bells.waiting():
            await asyncio.sleep(0.005)


async def test_one_job_is_canceled_and_the_other_is_drawn(
    service: Service, openai: AsyncOpenAI, worker: PlayedWorker
) -> None:
    leaving = asyncio.create_task(openai.images.generate(prompt="a dog", size="32x32"))
    first = await service.job()
    staying = asyncio.create_task(openai.images.generate(prompt="a cat", size="32x32"))
    leaving.cancel()
    await service.services.watcher.wait(first.id, timeout_s=10)
    await worker.draw()
    assert (await staying).data
    with pytest.raises(asyncio.CancelledError):
        await leaving
