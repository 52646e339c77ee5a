"""The openai package against a whole service: real workers draw, on a small untrained cascade."""

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from openai import AsyncOpenAI
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from PIL import Image
from redis.asyncio import Redis

from app.settings import ApiSettings
from model.cascade import Cascade
from tests.app.openai.conftest import Service, serving
from tests.serving import until_ready, worker_settings, working

ONE_LEVEL = 1


@pytest.fixture
async def service(
    settings: ApiSettings, redis: Redis, tiny_cascade: Path
) -> AsyncIterator[Service]:
    cascade = Cascade.load(tiny_cascade, "cpu")
    async with (
        working(cascade, worker_settings(settings, tiny_cascade)),
        serving(settings) as service,
        service.http() as client,
    ):
        await until_ready(client)
        yield service


def picture_in(b64_json: str | None) -> NDArray[np.int16]:
    """[H, W, 3] in [0, 255]. Fails where it is no PNG."""
    assert b64_json is not None
    with Image.open(io.BytesIO(base64.b64decode(b64_json)), formats=["PNG"]) as image:
        return np.asarray(image, dtype=np.int16)


async def test_pictures_are_drawn_and_streamed(service: Service, openai: AsyncOpenAI) -> None:
    (model,) = [model async for model in openai.models.list()]
    assert model.id == "tiny"
    seed = {"seed": 7, "steps": 40}
    answer = await openai.images.generate(
        model="tiny", prompt="a cat", n=2, size="16x8", response_format="b64_json", extra_body=seed
    )
    assert answer.size == "16x8"
    first, second = [picture_in(picture.b64_json) for picture in answer.data or []]
    assert first.shape == second.shape == (8, 16, 3)
    assert np.abs(first - second).max() > ONE_LEVEL

    stream = await openai.images.generate(
        prompt="a cat", size="16x8", stream=True, partial_images=3, extra_body=seed
    )
    *partial, last = [event async for event in stream]
    assert isinstance(last, ImageGenCompletedEvent)
    assert np.abs(picture_in(last.b64_json) - first).max() <= ONE_LEVEL
    assert 1 <= len(partial) <= 3
    for event in partial:
        assert isinstance(event, ImageGenPartialImageEvent)
        assert picture_in(event.b64_json).shape in ((4, 8, 3), (8, 16, 3))
