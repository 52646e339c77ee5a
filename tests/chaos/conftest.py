"""One service for all tests here, each with workers of its own."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.service import Service, open_service


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_service() -> AsyncIterator[Service]:
    """Without workers. Its processes see none of the developer's settings."""
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
            patch.delenv(name)
        async with open_service(Path(folder)) as service:
            yield service


@pytest_asyncio.fixture(loop_scope="session")
async def service(running_service: Service) -> AsyncIterator[Service]:
    """With an empty queue, and no worker that outlives the test."""
    await running_service.redis.flushall()
    yield running_service
    await running_service.workers.kill_all()
    running_service.clear()
