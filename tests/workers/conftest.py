"""A queue and a ledger, for the tests of lanes and workers."""

import pytest
from redis.asyncio import Redis

from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings


@pytest.fixture
def queue(redis: Redis, queue_settings: QueueSettings) -> Queue:
    return Queue(redis, queue_settings)


@pytest.fixture
def ledger(redis: Redis, queue_settings: QueueSettings) -> Ledger:
    return Ledger(redis, queue_settings)
