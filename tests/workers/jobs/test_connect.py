"""Redis away: operations say so in our words, and who can wait, waits and says so."""

from pathlib import Path

import pytest

from app.embedded_queue import EmbeddedQueue
from tests.workers.jobs.conftest import a_job
from workers.jobs.connect import connect, queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.events import JobWatcher
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings


async def test_without_redis_every_operation_says_so(tmp_path: Path) -> None:
    settings = QueueSettings(redis_url=f"unix://{tmp_path}/nothing.sock", data_dir=tmp_path)
    async with connect(settings) as client:
        queue = Queue(client, settings)
        with pytest.raises(QueueUnavailable):
            await queue.submit(a_job())
        with pytest.raises(QueueUnavailable):
            await queue.job("some-job")
        with pytest.raises(QueueUnavailable):
            await queue.claim("w1", "text", count=1, block_s=0)
        with pytest.raises(QueueUnavailable):
            await queue.reclaim("w1", ["text"], count=1)


async def test_a_full_redis_is_unavailable(tmp_path: Path) -> None:
    with EmbeddedQueue(tmp_path) as server:
        settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
        async with connect(settings) as client:
            await client.config_set("maxmemory", "1")
            with pytest.raises(QueueUnavailable, match="memory"):
                await Queue(client, settings).submit(a_job())


async def test_a_bug_is_not_taken_for_an_outage(queue_settings: QueueSettings) -> None:
    with pytest.raises(ValueError, match="a bug"), queue_errors():
        raise ValueError("a bug")


async def test_a_restarted_redis_still_has_the_job(tmp_path: Path) -> None:
    server = EmbeddedQueue(tmp_path)
    server.start()
    settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
    async with connect(settings) as client:
        queue = Queue(client, settings)
        async with JobWatcher(client, queue) as watcher:
            job = a_job()
            try:
                await queue.submit(job)
                server.stop()
                server.start()
                assert await watcher.wait(job.id, timeout_s=0) == job
                assert len(await queue.claim("w1", "text", count=1, block_s=0)) == 1
            finally:
                server.stop()
