"""What workers died with is drawn alone; what cannot be handed on is not added to."""

from collections.abc import Iterator
from concurrent.futures import Executor

import pytest
from redis.asyncio import Redis

from tests.workers.told import DONE, Scene
from workers import feeding
from workers.compute import compute_thread
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE
from workers.jobs.settings import QueueSettings


@pytest.fixture
def compute() -> Iterator[Executor]:
    with compute_thread() as executor:
        yield executor


async def test_a_task_that_a_worker_died_with_is_drawn_alone_the_last_time(
    redis: Redis, queue_settings: QueueSettings, compute: Executor
) -> None:
    twice = queue_settings.model_copy(update={"max_deliveries": 2, "lease_s": 0.2})
    scene = Scene(redis, twice, compute, capacity=4)
    suspects = [await scene.submit() for _ in range(2)]
    await scene.queue.claim("dead", TEXT_STAGE, count=2)
    await redis.set(keys.worker("judge"), 0, px=60_000)
    await scene.queue.reclaim("judge", TEXT_STAGE)
    others = [await scene.submit() for _ in range(3)]
    async with scene.running():
        for job_id in (*suspects, *others):
            assert (await scene.end_of(job_id)).error == DONE
    company = {job_id: step for step in scene.lane.steps for job_id in step}
    assert [company[job_id] for job_id in suspects] == [[job_id] for job_id in suspects]
    assert any(len(step) > 1 for step in scene.lane.steps)


async def test_nothing_is_claimed_while_too_much_waits_to_be_handed_on(
    redis: Redis, queue_settings: QueueSettings, compute: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "MOST_COMMITS", 1)
    monkeypatch.setattr(feeding, "LONGEST_SLEEP_S", 0.01)
    scene = Scene(redis, queue_settings, compute)
    scene.lane.may_commit.clear()
    async with scene.running():
        first = await scene.submit()
        await scene.lane.computing.wait()
        second = await scene.submit()
        assert await redis.zcard(keys.ready(TEXT_STAGE)) == 1
        scene.lane.may_commit.set()
        for job_id in (first, second):
            assert (await scene.end_of(job_id)).error == DONE
