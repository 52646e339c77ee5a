"""While pictures cannot be stored no work is taken, and none of what is drawn is lost."""

import asyncio
import logging
from concurrent.futures import Executor

import pytest
from redis.asyncio import Redis

from tests.workers.told import DONE, Scene
from workers import committing, storing
from workers.jobs import keys
from workers.jobs.errors import ImageStoreUnavailable
from workers.jobs.job import TEXT_STAGE
from workers.jobs.settings import QueueSettings

FULL = ImageStoreUnavailable("No space left on device")


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "STORE_PAUSE_S", 0.01)
    monkeypatch.setattr(storing, "CHECK_PAUSE_S", 0.01)
    monkeypatch.setattr("workers.feeding.LONGEST_SLEEP_S", 0.01)


async def test_a_full_store_is_waited_for(scene: Scene) -> None:
    scene.lane.commit_errors = [FULL] * 3
    async with scene.running():
        assert (await scene.end_of(await scene.submit())).error == DONE
    assert len(scene.lane.steps) == 1


async def test_of_a_store_that_was_never_away_nothing_is_said(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with scene.running():
        assert (await scene.end_of(await scene.submit())).error == DONE
    assert "store" not in caplog.text


async def test_no_work_is_taken_until_pictures_can_be_stored_again(
    scene: Scene, redis: Redis, queue_settings: QueueSettings
) -> None:
    queue_settings.images_dir.touch()  # where a folder should be
    scene.lane.commit_errors = [FULL]
    async with scene.running():
        first = await scene.submit()
        assert (await scene.end_of(first)).error == DONE
        second = await scene.submit()
        await asyncio.sleep(0.1)  # ten times as long as it takes to look for work
        assert await redis.zcard(keys.ready(TEXT_STAGE)) == 1
        queue_settings.images_dir.unlink()
        assert (await scene.end_of(second)).error == DONE


async def test_a_picture_that_one_worker_cannot_store_is_left_to_another(
    scene: Scene,
    redis: Redis,
    queue_settings: QueueSettings,
    compute: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committing, "STORE_PATIENCE_S", 0.0)
    queue_settings.images_dir.touch()
    scene.lane.commit_errors = [FULL] * 99
    other = Scene(redis, queue_settings, compute)
    async with scene.running():
        job_id = await scene.submit()
        await scene.lane.computing.wait()
        async with other.running():
            assert (await scene.end_of(job_id)).error == DONE
    assert other.lane.steps == [[job_id]]


async def test_what_no_worker_can_store_fails_with_the_reason(
    redis: Redis, queue_settings: QueueSettings, compute: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "STORE_PATIENCE_S", 0.0)
    scene = Scene(redis, queue_settings, compute)  # whose store takes bytes, but not this picture
    scene.lane.commit_errors = [FULL] * 99
    async with scene.running():
        job = await scene.end_of(await scene.submit())
    assert job.error is not None
    assert job.error.code == "image_store"
    assert job.error.message == "3 workers could not store the image: No space left on device"
    assert len(scene.lane.steps) == queue_settings.max_deliveries


async def test_what_is_not_stored_when_the_worker_stops_is_handed_back(scene: Scene) -> None:
    scene.lane.commit_errors = [FULL] * 99
    job_id = await scene.submit()
    async with scene.running():
        await scene.lane.computing.wait()
    (task,) = await scene.queue.claim("other", TEXT_STAGE, count=9)
    assert (task.job_id, task.deliveries) == (job_id, 1)
    await scene.ledger.cancel(job_id)
