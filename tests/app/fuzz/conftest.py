"""Services to try, each with settings of its own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from app.settings import ApiSettings
from tests.app.conftest import show
from tests.app.fuzz.service import CASCADE, Service, serving
from tests.valkey import leaked_keys
from workers.jobs.api_keys import ApiKeys
from workers.jobs.connect import connect
from workers.jobs.settings import QueueSettings

Start = Callable[[ApiSettings], AbstractContextManager[Service]]


@pytest.fixture
def open_settings(queue_settings: QueueSettings) -> Iterator[ApiSettings]:
    """Nobody needs a key. The queue is empty, and is emptied again."""
    given = {**queue_settings.model_dump(), "auth": "none", "max_wait_s": 1}
    asyncio.run(_empty(queue_settings))
    yield ApiSettings.model_validate({**given, "webhooks_to_private": True})
    asyncio.run(_empty(queue_settings))


@pytest.fixture
def start() -> Start:
    """Starts a service with its cascade; when it has ended, looks for what went wrong in it."""

    @contextmanager
    def start(settings: ApiSettings) -> Iterator[Service]:
        show(settings, CASCADE)
        with serving(settings) as service:
            yield service
        assert service.errors.messages == []
        assert asyncio.run(_leaked(settings)) == []

    return start


@pytest.fixture
def key(open_settings: ApiSettings) -> str:
    """An API key."""
    return asyncio.run(_make_key(open_settings))


async def _make_key(settings: QueueSettings) -> str:
    async with connect(settings) as redis:
        _, key = await ApiKeys(redis).make("ann")
        return key


async def _empty(settings: QueueSettings) -> None:
    async with connect(settings) as redis:
        await redis.flushall()


async def _leaked(settings: QueueSettings) -> list[str]:
    async with connect(settings) as redis:
        return await leaked_keys(redis)
