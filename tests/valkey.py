"""Fixtures with a real Valkey: one server a session, emptied before each test.

A test that leaves a key without a TTL, once its jobs have ended, fails.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from app.embedded_queue import EmbeddedQueue
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.settings import QueueSettings


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives as long as the session."""
    with EmbeddedQueue(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def queue_settings(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> QueueSettings:
    """Settings that point at the server and at a data folder of the test's own."""
    return QueueSettings(redis_url=valkey_url, data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture
async def redis(queue_settings: QueueSettings) -> AsyncIterator[Redis]:
    """A client of the emptied server; looks for leaked keys when the test is over."""
    client = connect(queue_settings)
    await client.flushall()
    yield client
    leaked = await leaked_keys(client)
    await client.aclose()
    assert not leaked, f"keys without a TTL after every job has ended: {leaked}"


async def leaked_keys(client: Redis) -> list[str]:
    """Keys that will stay for ever, though no job lives that could still delete them.

    A stream stays by design. While a job lives, nothing is a leak.
    """
    leaked: list[str] = []
    found: list[bytes] = await client.keys(f"{keys.PREFIX}*")  # type: ignore[assignment]
    for name in (key.decode() for key in found):
        if name.startswith(keys.job("")) and await client.ttl(name) < 0:
            return []
        if not name.startswith(keys.stream("")) and await client.ttl(name) < 0:
            leaked.append(name)
    return leaked
