"""A heartbeat shows the worker and its card, and outlives a Redis that goes away."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.embedded_queue import EmbeddedQueue
from tests.workers.jobs.conftest import StartHeartbeat
from workers.jobs import card as cards
from workers.jobs import keys
from workers.jobs.card import CascadeCard
from workers.jobs.connect import connect
from workers.jobs.errors import NoCard, QueueUnavailable
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.settings import QueueSettings


async def test_a_started_worker_is_alive_and_shows_its_card(
    redis: Redis, card: CascadeCard, start_heartbeat: StartHeartbeat, queue_settings: QueueSettings
) -> None:
    start_heartbeat("w1")
    assert 0 < await redis.pttl(keys.worker("w1")) <= queue_settings.lease_s * 1000
    assert 0 < await redis.pttl(keys.card()) <= queue_settings.lease_s * 1000
    assert await cards.read(redis) == card


async def test_a_stopped_worker_is_dead_at_once(
    redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    start_heartbeat("w1").stop()
    assert await redis.exists(keys.worker("w1")) == 0


async def test_without_a_worker_there_is_no_card(redis: Redis) -> None:
    with pytest.raises(NoCard, match="imagen worker"):
        await cards.read(redis)
    await redis.set(keys.card(), '{"of": "another version"}', ex=5)
    with pytest.raises(NoCard, match="version"):
        await cards.read(redis)


async def beaten(redis: Redis, worker: str) -> None:
    """Returns after the worker's next heartbeat."""
    async with redis.monitor() as monitor:
        while f"SET {keys.worker(worker)}" not in (await monitor.next_command())["command"]:
            pass


async def test_the_thread_beats_within_the_lease(
    redis: Redis, card: CascadeCard, queue_settings: QueueSettings
) -> None:
    quick = queue_settings.model_copy(update={"lease_s": 0.5})
    with Heartbeat(quick, "w1", card):
        await asyncio.wait_for(beaten(redis, "w1"), timeout=10)
        await asyncio.wait_for(beaten(redis, "w1"), timeout=10)
    assert await redis.exists(keys.worker("w1")) == 0


async def test_a_heartbeat_outlives_its_redis(tmp_path: Path, card: CascadeCard) -> None:
    server = EmbeddedQueue(tmp_path)
    server.start()
    settings = QueueSettings(redis_url=server.url, data_dir=tmp_path, lease_s=0.5)
    client = connect(settings)
    try:
        with Heartbeat(settings, "w1", card) as heartbeat:
            server.stop()
            with pytest.raises(QueueUnavailable):
                heartbeat.beat()
            server.start()
            await asyncio.wait_for(beaten(client, "w1"), timeout=10)
            server.stop()  # and stopping without Redis is no error either
    finally:
        await client.aclose()
        server.stop()
