"""A heartbeat shows the worker and its card, and outlives a Redis that goes away."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.workers.jobs.conftest import StartHeartbeat, a_worker
from workers.jobs import card as cards
from workers.jobs import keys
from workers.jobs.card import CascadeCard
from workers.jobs.connect import connect, connect_blocking
from workers.jobs.errors import NoCard, QueueUnavailable
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.settings import QueueSettings


async def test_a_started_worker_is_alive_and_shows_its_card(
    redis: Redis, card: CascadeCard, start_heartbeat: StartHeartbeat, queue_settings: QueueSettings
) -> None:
    start_heartbeat("w1")
    assert 0 < await redis.pttl(keys.worker("w1")) <= queue_settings.lease_s * 1000
    assert 0 < await redis.pttl(keys.card()) <= queue_settings.lease_s * 1000
    assert 0 < await redis.pttl(keys.workers()) <= queue_settings.lease_s * 1000
    assert await cards.read(redis) == card
    assert await cards.read_workers(redis) == (a_worker("w1"),)


async def test_a_stopped_worker_is_dead_at_once(
    redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    start_heartbeat("w2")
    start_heartbeat("w1").stop()
    assert await redis.exists(keys.worker("w1")) == 0
    assert await cards.read_workers(redis) == (a_worker("w2"),)


async def test_without_a_worker_there_is_no_card(redis: Redis) -> None:
    with pytest.raises(NoCard, match="imagen worker"):
        await cards.read(redis)
    await redis.set(keys.card(), '{"of": "another version"}', ex=5)
    with pytest.raises(NoCard, match="version"):
        await cards.read(redis)
    assert await cards.read_workers(redis) == ()
    await redis.zadd(keys.workers(), {'{"of": "another version"}': 1 << 45})
    await redis.pexpire(keys.workers(), 5000)
    with pytest.raises(NoCard, match="version"):
        await cards.read_workers(redis)


async def test_a_card_ends_with_its_lease_unless_it_is_shown_again(
    redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    """Two workers that were killed: one card has expired, the other will."""
    past_ms, future_ms = 1, 1 << 45
    killed = {
        a_worker("w2").model_dump_json(): past_ms,
        a_worker("w3").model_dump_json(): future_ms,
    }
    await redis.zadd(keys.workers(), killed)
    await redis.pexpire(keys.workers(), 5000)
    assert await cards.read_workers(redis) == (a_worker("w3"),)
    start_heartbeat("w1")
    assert await cards.read_workers(redis) == (a_worker("w1"), a_worker("w3"))
    assert await redis.zcard(keys.workers()) == 2


async def test_a_worker_shows_one_card(redis: Redis, queue_settings: QueueSettings) -> None:
    with connect_blocking(queue_settings, timeout_s=5) as blocking:
        for rows in (16, 32):
            cards.publish_worker(blocking, a_worker("w1", rows), lease_s=5)
    assert await cards.read_workers(redis) == (a_worker("w1", 32),)


async def test_a_worker_is_alive_since_it_came_without_a_gap(
    redis: Redis, start_heartbeat: StartHeartbeat, queue_settings: QueueSettings
) -> None:
    heartbeat = start_heartbeat("w1")
    since = await redis.get(keys.worker("w1"))
    assert since is not None
    seconds, _ = await redis.time()
    assert abs(int(since) / 1000 - seconds) < 60
    await redis.set(keys.worker("w1"), "1", keepttl=True)
    heartbeat.beat()
    assert await redis.get(keys.worker("w1")) == b"1"
    await redis.delete(keys.worker("w1"))
    heartbeat.beat()
    assert int(await redis.get(keys.worker("w1")) or 0) >= int(since)
    # One that was nearly too late: Redis was away, and who else is late cannot be told from dead.
    await redis.set(keys.worker("w1"), "1", px=round(queue_settings.lease_s * 100))
    heartbeat.beat()
    assert int(await redis.get(keys.worker("w1")) or 0) >= int(since)


async def beaten(redis: Redis, worker: str) -> None:
    """Returns after the worker's next heartbeat."""
    async with redis.monitor() as monitor:
        while f"PEXPIRE {keys.worker(worker)}" not in (await monitor.next_command())["command"]:
            pass


async def test_the_thread_beats_within_the_lease(
    redis: Redis, card: CascadeCard, queue_settings: QueueSettings
) -> None:
    quick = queue_settings.model_copy(update={"lease_s": 0.5})
    with Heartbeat(quick, a_worker("w1"), card):
        await asyncio.wait_for(beaten(redis, "w1"), timeout=10)
        await asyncio.wait_for(beaten(redis, "w1"), timeout=10)
    assert await redis.exists(keys.worker("w1")) == 0


async def test_a_heartbeat_outlives_its_redis(tmp_path: Path, card: CascadeCard) -> None:
    server = EmbeddedQueue(tmp_path)
    server.start()
    settings = QueueSettings(redis_url=server.url, data_dir=tmp_path, lease_s=0.5)
    client = connect(settings)
    try:
        with Heartbeat(settings, a_worker("w1"), card) as heartbeat:
            server.stop()
            with pytest.raises(QueueUnavailable):
                heartbeat.beat()
            server.start()
            await asyncio.wait_for(beaten(client, "w1"), timeout=10)
            server.stop()  # and stopping without Redis is no error either
    finally:
        await client.aclose()
        server.stop()
