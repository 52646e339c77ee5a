"""Fixtures with a real Valkey: one server a session, emptied before each test.

A test fails that leaves a key which nothing will take away.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.embedded_queue import EmbeddedQueue
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.job import JobStatus
from workers.jobs.settings import QueueSettings

BY_DESIGN = (keys.api_keys(), keys.webhook_secret())
"""Those stay until someone takes them away."""


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
    assert not leaked, f"keys without a TTL, or with something that no living job needs: {leaked}"


async def leaked_keys(client: Redis) -> list[str]:
    """Keys that will stay for ever, in whole or in part.

    Without a TTL may be what is there by design, and what is about living jobs alone: their
    records, their tasks, embeddings, deadlines, counts and idempotency keys. Webhooks may wait
    for jobs that have ended.
    """
    ttls = await _ttls(client)
    names = sorted(ttls)
    records = await _records(client, [name for name in names if name.startswith(keys.job(""))])
    living = {job_id: record for job_id, record in records.items() if _lives(record)}
    leaked: list[str] = []
    for name in names:
        if name == keys.queued():
            kept = await _hash(client, name) == _counts(living)
        elif name == keys.webhooks():
            kept = await _jobs_of(client, name) <= records.keys() - living.keys()
        elif name.startswith(keys.artifacts("")):
            kept = ttls[name] >= 0 and name.removeprefix(keys.artifacts("")) in living
        elif ttls[name] >= 0 or name in BY_DESIGN:
            kept = True
        else:
            about = await _jobs_of(client, name)
            kept = bool(about) and about <= living.keys()
        if not kept:
            leaked.append(name)
    return leaked


async def _ttls(client: Redis) -> dict[str, int]:
    """Of all keys there are, in s; -1 where one has none."""
    found: Any = await client.keys("*")
    async with client.pipeline(transaction=False) as pipeline:
        for name in found:
            pipeline.ttl(name)
        ttls = await pipeline.execute()
    gone = -2
    return {name.decode(): ttl for name, ttl in zip(found, ttls, strict=True) if ttl != gone}


async def _records(client: Redis, names: list[str]) -> dict[str, dict[bytes, bytes]]:
    """Jobs by id."""
    return {name.removeprefix(keys.job("")): await _hash(client, name) for name in names}


def _lives(record: dict[bytes, bytes]) -> bool:
    return not JobStatus(record[b"status"].decode()).terminal


def _counts(living: dict[str, dict[bytes, bytes]]) -> dict[bytes, bytes]:
    """What keys.queued() holds for these jobs."""
    counts: Counter[bytes] = Counter()
    for record in living.values():
        for who in (record[b"owner"], b"*"):
            counts[who] += int(record[b"remaining"])
    return {who: str(count).encode() for who, count in counts.items()}


async def _jobs_of(client: Redis, name: str) -> set[str]:
    """Ids of the jobs that a key is about; none where it is about something else."""
    if name.startswith(keys.job("")):
        return {name.removeprefix(keys.job(""))}
    if name.startswith((keys.ready(""), keys.deadlines(), keys.webhooks())):
        members: Any = await client.zrange(name, 0, -1)
        return {member.decode().partition(":")[0] for member in members}
    if name.startswith(keys.held("")):
        return {task.decode().partition(":")[0] for task in await _hash(client, name)}
    if name.startswith(keys.PREFIX + "embedding:"):
        fields = {field.decode() for field in await _hash(client, name)} - {"value"}
        return {field.removeprefix(keys.job("")) for field in fields}
    if name.startswith(keys.PREFIX + "idempotency:"):
        value: Any = await client.get(name)
        return {value.decode().rpartition(" ")[2]}
    return set()


async def _hash(client: Redis, name: str) -> dict[bytes, bytes]:
    value: Any = await client.hgetall(name)
    return dict(value)
