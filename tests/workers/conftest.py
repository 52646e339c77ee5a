"""A queue and a ledger, for the tests of lanes, and a worker with one lane that is told."""

from collections.abc import Iterator
from concurrent.futures import Executor

import pytest
from redis.asyncio import Redis

from tests.workers.told import Scene
from workers.compute import compute_thread
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings


@pytest.fixture
def queue(redis: Redis, queue_settings: QueueSettings) -> Queue:
    return Queue(redis, queue_settings)


@pytest.fixture
def ledger(redis: Redis, queue_settings: QueueSettings) -> Ledger:
    return Ledger(redis, queue_settings)


@pytest.fixture
def compute() -> Iterator[Executor]:
    with compute_thread() as executor:
        yield executor


@pytest.fixture
async def scene(redis: Redis, queue_settings: QueueSettings, compute: Executor) -> Scene:
    return Scene(redis, queue_settings, compute)
