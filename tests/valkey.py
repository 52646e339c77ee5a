"""Fixtures with a real Valkey: one server a session, emptied before each test.

A test fails that leaves a key which nothing will take away.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.job import JobStatus
from workers.jobs.settings import QueueSettings

BY_DESIGN = (keys.api_keys(), keys.webhook_secret(), keys.stages())
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
    records, tasks, artifacts, embeddings, deadlines, counts and idempotency keys, and their
    owners' shares and lists. Webhooks may wait for jobs that have ended.
    """
    return leaks_in(await read_all(client))


def leaks_in(stored: Mapping[str, tuple[int, Any]]) -> list[str]:
    """The same, of what `read_all` has read."""
    records = {
        name.removeprefix(keys.job("")): value
        for name, (_, value) in stored.items()
        if name.startswith(keys.job(""))
    }
    living = {job_id: record for job_id, record in records.items() if _lives(record)}
    owners = {record[b"owner"].decode() for record in living.values()}
    about_owners = {key(owner) for owner in owners for key in (keys.share, keys.jobs)}

    def is_kept(name: str, ttl_s: int, value: Any) -> bool:
        if name == keys.queued():
            return bool(value == _counts(living.values()))
        if name == keys.webhooks():
            return _jobs_of(name, value) <= records.keys() - living.keys()
        if name.startswith(keys.artifacts("")):
            return name.removeprefix(keys.artifacts("")) in living
        if ttl_s >= 0 or name in BY_DESIGN or name in about_owners:
            return True
        about = _jobs_of(name, value)
        return bool(about) and about <= living.keys()

    return [name for name, (ttl_s, value) in stored.items() if not is_kept(name, ttl_s, value)]


async def read_all(client: Redis) -> dict[str, tuple[int, Any]]:
    """Every key by name: its TTL in s, -1 where it has none, and what it holds."""
    found: Any = await client.keys("*")
    names = sorted(name.decode() for name in found)
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.ttl(name)
        pipeline.type(name)
    answers = await pipeline.execute()
    gone = -2
    there = [row for row in zip(names, answers[::2], answers[1::2], strict=True) if row[1] != gone]
    for name, _, kind in there:
        READERS[kind.decode()](pipeline, name)
    values = await pipeline.execute()
    read = zip(there, values, strict=True)
    return {name: (ttl_s, value) for (name, ttl_s, _), value in read if value}


READERS: Mapping[str, Callable[[Any, str], object]] = {
    "hash": lambda pipeline, name: pipeline.hgetall(name),
    "string": lambda pipeline, name: pipeline.get(name),
    "set": lambda pipeline, name: pipeline.smembers(name),
    "stream": lambda pipeline, name: pipeline.xrange(name),
    "zset": lambda pipeline, name: pipeline.zrange(name, 0, -1),
}


def _lives(record: Mapping[bytes, bytes]) -> bool:
    return not JobStatus(record[b"status"].decode()).terminal


def _counts(living: Iterable[Mapping[bytes, bytes]]) -> dict[bytes, bytes]:
    """What keys.queued() holds for these jobs."""
    counts: Counter[bytes] = Counter()
    for record in living:
        for who in (record[b"owner"], b"*"):
            counts[who] += int(record[b"remaining"])
    return {who: str(count).encode() for who, count in counts.items()}


def _jobs_of(name: str, value: Any) -> set[str]:
    """Ids of the jobs that a key is about; none where it is about something else."""
    if name.startswith(keys.job("")):
        return {name.removeprefix(keys.job(""))}
    if name.startswith((keys.ready(""), keys.held(""), keys.deadlines(), keys.webhooks())):
        return {member.decode().partition(":")[0] for member in value}
    if name.startswith(keys.PREFIX + "embedding:"):
        fields = {field.decode() for field in value} - {"value"}
        return {field.removeprefix(keys.job("")) for field in fields}
    if name.startswith(keys.PREFIX + "idempotency:"):
        return {value.decode().rpartition(" ")[2]}
    return set()
