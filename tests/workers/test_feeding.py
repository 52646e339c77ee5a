"""What workers died with is drawn alone."""

import asyncio
from concurrent.futures import Executor

import pytest
from redis.asyncio import Redis

from tests.workers.told import DONE, Scene
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE, Task
from workers.jobs.settings import QueueSettings
from workers.lane import Outcome


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


async def test_what_is_being_handed_on_is_not_left_beside_it(
    redis: Redis, queue_settings: QueueSettings, compute: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next suspect may kill the worker before the picture of the last one is recorded."""
    twice = queue_settings.model_copy(update={"max_deliveries": 2, "lease_s": 0.2})
    scene = Scene(redis, twice, compute)
    suspects = [await scene.submit() for _ in range(2)]
    await scene.queue.claim("dead", TEXT_STAGE, count=2)
    await redis.set(keys.worker("judge"), 0, px=60_000)
    await scene.queue.reclaim("judge", TEXT_STAGE)
    commit = scene.lane.commit

    async def commit_slowly(outcome: Outcome) -> None:
        await asyncio.sleep(0.2)  # so long others could be computed beside it
        assert scene.lane.steps[-1] == [outcome.task.job_id]
        await commit(outcome)

    monkeypatch.setattr(scene.lane, "commit", commit_slowly)
    async with scene.running():
        for job_id in suspects:
            assert (await scene.end_of(job_id)).error == DONE


async def test_a_worker_that_stops_while_it_draws_one_alone_ends_at_once(
    redis: Redis, queue_settings: QueueSettings, compute: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is told so in the very claim: grace_s is half a minute."""
    twice = queue_settings.model_copy(update={"max_deliveries": 2, "lease_s": 0.2})
    scene = Scene(redis, twice, compute)
    suspect = await scene.submit()
    await scene.queue.claim("dead", TEXT_STAGE, count=1)
    await redis.set(keys.worker("judge"), 0, px=60_000)
    await scene.queue.reclaim("judge", TEXT_STAGE)
    claim, claims = scene.queue.claim, 0

    async def claim_and_stop(worker: str, stage: str, count: int, **more: bool) -> list[Task]:
        nonlocal claims
        claims += 1
        tasks = await claim(worker, stage, count, **more)
        if claims == 2:  # the one that is alone
            scene.worker.stop()
        return tasks

    monkeypatch.setattr(scene.queue, "claim", claim_and_stop)
    async with asyncio.timeout(10):
        await scene.worker.run()
    (task,) = await claim("other", TEXT_STAGE, 9)
    assert (task.job_id, task.deliveries) == (suspect, 2)
    await scene.ledger.cancel(suspect)
