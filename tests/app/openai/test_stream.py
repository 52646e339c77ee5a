"""stream=True: the picture as it is drawn, by the events of OpenAI's."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, AsyncStream
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent, ImageGenStreamEvent
from redis.asyncio import Redis

from app import sse
from app.openai.stream import Pace
from app.orders.resolve import resolve
from app.settings import ApiSettings
from tests.app.conftest import CARD, PNG, PlayedWorker
from tests.app.openai.conftest import Painter, Service, preview_after, serving
from workers.jobs import keys
from workers.jobs.job import ImageProgress, Job

pytestmark = pytest.mark.usefixtures("served")

Events = AsyncStream[ImageGenStreamEvent]


@pytest.fixture
async def service(settings: ApiSettings, redis: Redis) -> AsyncIterator[Service]:
    """On a socket."""
    async with serving(settings) as service:
        yield service


@asynccontextmanager
async def streaming(openai: AsyncOpenAI, **asked: Any) -> AsyncGenerator[Events]:
    """The events of a picture of one stage of 30 steps, whose client follows it by now."""
    stream = await openai.images.generate(
        **{"prompt": "a cat", "size": "32x32", "stream": True, **asked}
    )
    assert isinstance(stream, AsyncStream)
    async with stream:
        yield stream


def shown(event: ImageGenStreamEvent) -> bytes:
    return base64.b64decode(event.b64_json)


async def test_the_last_event_is_the_picture(
    openai: AsyncOpenAI, service: Service, worker: PlayedWorker
) -> None:
    async with streaming(openai) as stream:
        await worker.draw()
        (event,) = [event async for event in stream]
    job = await service.job()
    assert job.finished_at is not None
    assert isinstance(event, ImageGenCompletedEvent)
    assert event.to_dict() == {
        "type": "image_generation.completed",
        "b64_json": base64.b64encode(PNG).decode(),
        "created_at": int(job.finished_at),
        "size": "32x32",
        "quality": "auto",
        "background": "opaque",
        "output_format": "png",
        "usage": None,
    }
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert stream.response.headers["location"] == f"{service.url}/jobs/{job.id}"
    assert stream.response.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(("most", "steps"), [(0, []), (1, [16]), (2, [12, 20]), (3, [8, 16, 29])])
async def test_partial_images_are_spread_over_the_work(
    openai: AsyncOpenAI, painter: Painter, most: int, steps: list[int]
) -> None:
    async with streaming(openai, partial_images=most) as stream:
        task = await painter.begin()
        for step in (3, 6, 8, 12, 14, 16, 18, 20, 22, 29, 30):
            await painter.show(task, step)
        await painter.finish(task)
        *partial, last = [event async for event in stream]
    assert [shown(event) for event in partial] == [preview_after(step) for step in steps]
    assert isinstance(last, ImageGenCompletedEvent)
    for index, event in enumerate(partial):
        assert isinstance(event, ImageGenPartialImageEvent)
        assert (event.type, event.partial_image_index) == ("image_generation.partial_image", index)
        assert (event.size, event.quality, event.background) == ("32x32", "auto", "opaque")
        assert event.output_format == "png"
        assert event.created_at > 0


async def test_a_partial_image_comes_while_the_picture_is_drawn(
    openai: AsyncOpenAI, painter: Painter
) -> None:
    async with streaming(openai, partial_images=3) as stream:
        task = await painter.begin()
        await painter.show(task, 29)
        async with asyncio.timeout(10):
            event = await anext(aiter(stream))
        assert shown(event) == preview_after(29)
        await painter.finish(task)


async def test_only_who_wants_partial_images_has_them_drawn(
    openai: AsyncOpenAI, service: Service, redis: Redis
) -> None:
    for most in (0, 3):
        async with streaming(openai, partial_images=most):
            job = await service.job()
            assert await redis.exists(keys.events(job.id)) == bool(most)
        await redis.flushall()


def test_a_picture_that_is_begun_again_shows_no_less_than_before() -> None:
    job = Job(id="1", parameters=resolve({"prompt": "a cat", "size": 128}, CARD), created_at=0)
    pace = Pace(job, most=3)

    def shows(stage: str, step: int) -> bool:
        steps = job.parameters.stage(stage).steps
        return pace.shows(ImageProgress(index=0, stage=stage, step=step, steps=steps))

    assert not shows("32", 10)
    assert shows("128", 1)
    assert not shows("128", 2)
    assert shows("128", 3)
    assert not shows("32", 29)
    assert not shows("128", 1)
    assert shows("128", 8)
    assert not shows("128", 8)


@pytest.mark.parametrize("most", [0, 2])
async def test_a_job_that_fails_is_raised(
    openai: AsyncOpenAI, worker: PlayedWorker, most: int
) -> None:
    async with streaming(openai, partial_images=most) as stream:
        await worker.fail()
        with pytest.raises(APIError, match="there is no red left") as raised:
            await anext(aiter(stream))
    assert (raised.value.type, raised.value.code) == ("server_error", "out_of_paint")


async def test_a_black_picture_is_raised(openai: AsyncOpenAI, painter: Painter) -> None:
    async with streaming(openai) as stream:
        await painter.finish_as(await painter.begin(), "watermark")
        with pytest.raises(APIError, match="watermark") as raised:
            await anext(aiter(stream))
    assert raised.value.code == "content_policy_violation"


async def test_a_record_that_is_gone_is_raised(
    openai: AsyncOpenAI, service: Service, redis: Redis
) -> None:
    async with streaming(openai) as stream:
        await redis.flushall()
        service.services.watcher.bells.ring(None)
        with pytest.raises(APIError, match="there is no job of this id"):
            await anext(aiter(stream))


@pytest.mark.parametrize("most", [0, 2])
async def test_a_service_that_stops_says_so(
    openai: AsyncOpenAI, service: Service, most: int
) -> None:
    async with streaming(openai, partial_images=most) as stream:
        service.services.end_waits()
        with pytest.raises(APIError, match="ask again") as raised:
            await anext(aiter(stream))
    assert raised.value.code == "service_stopping"


async def test_what_is_refused_is_refused_before_the_stream(openai: AsyncOpenAI) -> None:
    with pytest.raises(APIError) as raised:
        await openai.images.generate(prompt="a cat", size="33x33", stream=True)
    assert raised.value.param == "size"


async def test_a_stream_is_never_silent_for_long(
    service: Service, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_S", 0.01)
    body = {"prompt": "a cat", "size": "32x32", "stream": True}
    async with (
        service.http() as client,
        client.stream("POST", "/v1/images/generations", json=body) as answer,
    ):
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(4)] == [": ping", "", ": ping", ""]
        await worker.draw()
        told = [line async for line in lines if not line.startswith(":") and line]
    event, data = told
    assert event == "event: image_generation.completed"
    assert data.startswith("data: {")
