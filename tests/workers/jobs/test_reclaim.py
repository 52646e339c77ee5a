"""Tasks of workers who are gone are ready again; those who come back late are refused."""

import asyncio

from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    ENCODER,
    FAILURE,
    StartHeartbeat,
    a_job,
    alive_since_long,
    an_image,
    claim_one,
    draw,
    encode,
)
from workers.jobs import keys
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings


async def test_what_a_living_worker_holds_is_left_to_it(
    ledger: Ledger, queue: Queue, redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    start_heartbeat("w1")
    await alive_since_long(redis, "w2")
    await ledger.submit(a_job())
    await claim_one(queue, "w1", "text")
    assert await queue.reclaim("w2", "text") == []
    assert await queue.claim("w2", "text", count=1) == []


async def test_a_worker_that_stops_gives_its_tasks_up_at_once(
    ledger: Ledger, queue: Queue, redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    heartbeat = start_heartbeat("w1")
    await ledger.submit(a_job())
    held = await claim_one(queue, "w1", "text")
    heartbeat.stop()
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", "text")
    taken = await claim_one(queue, "w2", "text")
    assert (taken.name, taken.deliveries) == (held.name, 2)
    assert taken.token != held.token


async def test_any_worker_reclaims_for_all_and_from_all(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """The reclaimer has no room of its own to fill; those who died will never return."""
    await ledger.submit(a_job(n=3))
    await encode(queue, "w1")
    for worker in ("w1", "w2", "w3"):
        await claim_one(queue, worker, "32")
    await alive_since_long(redis, "w4")
    await queue.reclaim("w4", "32")
    assert len(await queue.claim("w5", "32", count=8)) == 3
    assert await redis.hlen(keys.held("32")) == 3


async def test_who_has_just_come_does_not_reclaim(
    ledger: Ledger, queue: Queue, redis: Redis, start_heartbeat: StartHeartbeat
) -> None:
    """After an outage of Redis all heartbeats are gone, and the first to return is not the last."""
    await ledger.submit(a_job())
    await claim_one(queue, "w1", "text")
    assert await queue.reclaim("w2", "text") == []  # without a heartbeat at all
    start_heartbeat("w2")
    assert await queue.reclaim("w2", "text") == []
    assert await redis.exists(keys.ready("text")) == 0
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", "text")
    assert await redis.zcard(keys.ready("text")) == 1


async def test_one_stage_is_reclaimed_at_a_time(ledger: Ledger, queue: Queue, redis: Redis) -> None:
    await ledger.submit(a_job())
    await claim_one(queue, "w1", "text")
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", "32")
    assert await redis.exists(keys.ready("text")) == 0
    await queue.reclaim("w2", "text")
    assert await encode(queue)


async def test_a_stale_worker_is_refused_and_the_job_succeeds_once(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    stale = await claim_one(queue, "w1", "32")  # w1 has no heartbeat: it counts as dead
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", "32")
    assert not await queue.commit(stale, "w1", b"stale pixels", "128")
    taken = await claim_one(queue, "w2", "32")
    assert not await queue.commit(stale, "w1", b"stale pixels", "128")
    assert not await queue.fail(stale, "w1", FAILURE)
    assert await queue.commit(taken, "w2", b"pixels", "128")
    assert not await queue.commit(stale, "w1", b"stale pixels", "128")

    upper = await claim_one(queue, "w2", "128")
    assert (await queue.inputs(upper)).artifact == b"pixels"
    assert await queue.finish(upper, "w2", an_image(upper)) is Effect.DONE
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED


async def test_of_two_who_commit_at_once_the_owner_wins(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await ledger.submit(a_job())
    await encode(queue)
    stale = await claim_one(queue, "w1", "32")
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", "32")
    taken = await claim_one(queue, "w2", "32")
    commits = await asyncio.gather(
        *(queue.commit(stale, "w1", b"stale pixels", "128") for _ in range(10)),
        *(queue.commit(taken, "w2", b"pixels", "128") for _ in range(10)),
    )
    assert not any(commits[:10])
    assert commits[10:].count(True) == 1
    assert await redis.zcard(keys.ready("128")) == 1


async def test_a_worker_learns_what_it_has_lost(
    redis: Redis, ledger: Ledger, queue_settings: QueueSettings
) -> None:
    """To another worker, or since its job has ended; it is told once."""
    paused, other = Queue(redis, queue_settings), Queue(redis, queue_settings)
    jobs = [a_job(prompt) for prompt in ("one", "two", "three", "four")]
    for job in jobs:
        await ledger.submit(job)
    held = await paused.claim("w1", "text", count=4)
    assert await paused.fail(held[3], "w1", FAILURE)
    await ledger.cancel(jobs[1].id)
    assert await paused.reclaim("w1", "text") == [held[1]]
    await alive_since_long(redis, "w2")
    await other.reclaim("w2", "text")
    taken = await claim_one(other, "w2", "text")
    lost = await paused.reclaim("w1", "text")
    assert sorted(task.name for task in lost) == sorted([held[0].name, held[2].name])
    assert await paused.reclaim("w1", "text") == []
    assert await other.reclaim("w2", "text") == []
    assert taken.name in {held[0].name, held[2].name}


async def test_a_task_lost_on_its_way_to_a_living_worker_comes_back(
    redis: Redis, ledger: Ledger, queue: Queue, queue_settings: QueueSettings
) -> None:
    """The answer to a claim may be lost with the connection: Redis thinks that we have it."""
    for _ in range(2):
        await ledger.submit(a_job())
    await alive_since_long(redis, "w1")
    held = await claim_one(queue, "w1", "text")
    unheard = await claim_one(Queue(redis, queue_settings), "w1", "text")
    assert await queue.reclaim("w1", "text") == []
    found = await claim_one(queue, "w1", "text")
    assert found.name == unheard.name
    assert await queue.reclaim("w1", "text") == []
    given = {"a red apple": b"apple", "": b"none"}
    assert not await queue.commit_text(unheard, "w1", ENCODER, given)
    for task in (held, found):
        assert await queue.commit_text(task, "w1", ENCODER, given)
    assert await draw(queue)
    assert await draw(queue)


async def test_a_task_that_is_lost_on_its_way_again_and_again_is_not_given_up(
    redis: Redis, ledger: Ledger, queue: Queue, queue_settings: QueueSettings
) -> None:
    """No one has died with it."""
    await ledger.submit(a_job())
    await alive_since_long(redis, "w1")
    for _ in range(queue_settings.max_deliveries + 1):
        await claim_one(Queue(redis, queue_settings), "w1", "text")
        await queue.reclaim("w1", "text")
    assert (await claim_one(queue, "w1", "text")).deliveries == 1


async def test_a_task_of_another_version_is_left_to_those_who_can_read_it(
    redis: Redis, ledger: Ledger, queue: Queue
) -> None:
    job = a_job()
    await ledger.submit(job)
    await redis.hset(keys.job(job.id), "parameters", '{"of": "another version"}')
    await alive_since_long(redis, "w1")
    assert await queue.claim("w1", "text", count=1) == []
    await redis.hset(keys.job(job.id), "parameters", job.parameters.model_dump_json())
    await queue.reclaim("w1", "text")
    assert (await claim_one(queue, "w2", "text")).parameters == job.parameters


async def die_with(queue: Queue, redis: Redis, stage: str, times: int) -> None:
    """So many workers take the next task of the stage and die with it."""
    await alive_since_long(redis, "reclaimer")
    for attempt in range(times):
        task = await claim_one(queue, f"doomed-{attempt}", stage)
        assert task.deliveries == attempt + 1
        await queue.reclaim("reclaimer", stage)


async def test_an_image_that_workers_die_with_is_given_up_and_the_others_are_drawn(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job(n=3, owner="ann")
    await ledger.submit(job)
    await encode(queue)
    await die_with(queue, redis, "32", times=queue_settings.max_deliveries)
    going_on = await ledger.job(job.id)
    assert going_on.status is JobStatus.RUNNING
    assert going_on.error is not None
    assert (going_on.error.code, going_on.error.image) == ("gave_up", 0)
    assert going_on.error.message == "stage 32: 3 workers died with it"
    assert await redis.hgetall(keys.queued()) == {b"ann": b"2", b"*": b"2"}
    assert await draw(queue)
    assert await draw(queue)
    failed = await ledger.job(job.id)
    assert (failed.status, failed.error) == (JobStatus.FAILED, going_on.error)
    assert [image.index for image in failed.images] == [1, 2]


async def test_the_last_delivery_counts_only_alone(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    """A worker may die of what it has beside it, before it can hand the task back."""
    job = a_job()
    await ledger.submit(job)
    await encode(queue)
    most = queue_settings.max_deliveries
    await die_with(queue, redis, "32", times=most - 1)
    for attempt in range(most):
        (task,) = await queue.claim(f"unlucky-{attempt}", "32", count=1, beside=True)
        assert task.deliveries == most
        await queue.reclaim("reclaimer", "32")
    assert (await claim_one(queue, "doomed", "32")).deliveries == most
    assert (await ledger.job(job.id)).error is None
    await queue.reclaim("reclaimer", "32")
    assert (await ledger.job(job.id)).status is JobStatus.FAILED


async def test_a_text_that_workers_die_with_is_given_up(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job(n=2)
    await ledger.submit(job)
    await die_with(queue, redis, "text", times=queue_settings.max_deliveries)
    failed = await ledger.job(job.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "gave_up")
    assert failed.error.image is None


async def test_deaths_are_counted_stage_by_stage(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await ledger.submit(job)
    survived = queue_settings.max_deliveries - 1
    await die_with(queue, redis, "text", times=survived)
    await encode(queue)
    await die_with(queue, redis, "32", times=survived)
    task = await claim_one(queue, "w1", "32")
    assert await queue.commit(task, "w1", b"pixels", "128")
    await die_with(queue, redis, "128", times=survived)
    task = await claim_one(queue, "w1", "128")
    assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED


async def test_a_given_up_image_is_unwanted_though_its_job_lives(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    """No one will record it: who comes back with it must take its file away again."""
    await ledger.submit(a_job(n=2))
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    assert await queue.commit(task, "w1", b"pixels", "128")
    await alive_since_long(redis, "reclaimer")
    stale = await claim_one(queue, "w1", "128")
    await queue.reclaim("reclaimer", "128")
    assert await queue.finish(stale, "w1", an_image(stale)) is Effect.REFUSED  # it is ready
    for _ in range(queue_settings.max_deliveries - 1):
        await claim_one(queue, "w2", "128")
        assert await queue.finish(stale, "w1", an_image(stale)) is Effect.REFUSED  # w2 has it
        await queue.reclaim("reclaimer", "128")
    assert await queue.finish(stale, "w1", an_image(stale)) is Effect.UNWANTED
    assert await draw(queue)


async def test_reclaim_before_the_first_job_finds_nothing(queue: Queue, redis: Redis) -> None:
    await alive_since_long(redis, "w1")
    assert await queue.reclaim("w1", "text") == []
