"""What the tests of the commands share: a service that listens on this machine."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.listening import listening


@pytest.fixture
async def url(settings: ApiSettings, redis: Redis) -> AsyncIterator[str]:
    """Of an API in this event loop, so the command runs in a thread or process beside it."""
    async with listening(settings) as url:
        yield url
