"""Previews are drawn for those who want to see them; of a job the latest are kept."""

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import a_while_later, claim_one, encode
from tests.workers.jobs.follower import PNG, Follower, forget_events, submit
from workers.jobs import events as events_module
from workers.jobs import keys
from workers.jobs.events import JobEvents, Previewed, Progressed
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue, Reached

MOST_PREVIEWS = 32
"""As preview.lua has it."""


async def test_a_slow_follower_is_shown_the_latest_previews(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    """They are large: no more are kept."""
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    for step in range(300):
        await queue.preview(Reached(task, step, 300), PNG)
    assert await redis.xlen(keys.previews(job.id)) == MOST_PREVIEWS
    assert await follower.take(1 + MOST_PREVIEWS) == ["state", *(MOST_PREVIEWS * ["preview"])]
    shown = [event.image.step for event in follower.seen if isinstance(event, Previewed)]
    assert shown == list(range(300 - MOST_PREVIEWS, 300))


async def test_previews_are_for_those_who_want_them(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    look = await events.look(job.id, previews=False)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    reached = Reached(task, 1, 20)
    assert not task.is_watched
    assert await queue.progress([reached]) == set()
    await queue.preview(reached, PNG)
    assert not await redis.exists(keys.previews(job.id))
    await events.look(job.id)
    assert await queue.progress([reached]) == {task.key}
    await queue.preview(reached, PNG)
    await ledger.cancel(job.id)
    told = [event async for event in events.follow(look)]
    assert not [event for event in told if isinstance(event, Previewed)]


async def test_who_wants_no_previews_wants_none_later(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    events: JobEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events_module, "LOOK_S", 0.0)
    job = await submit(ledger)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    following = events.follow(await events.look(job.id, previews=False))
    await anext(following)
    for step in (1, 2):
        await a_while_later(redis, job)
        await queue.progress([Reached(task, step, 2)])
        assert isinstance(await anext(following), Progressed)
    await following.aclose()
    assert not await redis.exists(keys.previews(job.id))


async def test_a_preview_that_no_one_can_be_told_of_is_dropped(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    await events.look(job.id)
    await forget_events(redis, job)
    before = await redis.xlen(keys.previews(job.id))
    await queue.preview(Reached(task, 1, 20), PNG)
    assert await redis.xlen(keys.previews(job.id)) == before


async def test_a_worker_is_told_whether_anyone_follows(
    ledger: Ledger, queue: Queue, events: JobEvents
) -> None:
    unfollowed, followed = await submit(ledger), await submit(ledger)
    await events.look(followed.id)
    for _ in range(2):
        await encode(queue)
    tasks = await queue.claim("w1", "32", count=2)
    assert {task.job_id: task.is_watched for task in tasks} == {
        unfollowed.id: False,
        followed.id: True,
    }
