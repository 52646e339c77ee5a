"""Who follows a job misses nothing and is told nothing twice, though the connection is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.workers.jobs.conftest import (
    FAILURE,
    a_while_later,
    an_image,
    claim_one,
    draw,
    encode,
    replica,
)
from tests.workers.jobs.follower import PATIENCE_S, PNG, Follower, forget_events, submit
from workers.jobs import events as events_module
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.errors import JobNotFound, QueueUnavailable
from workers.jobs.events import (
    FOLLOWED_S,
    EventKind,
    ImageDone,
    JobEvents,
    JobStands,
    NothingMore,
    Previewed,
    Progressed,
)
from workers.jobs.job import ImageProgress, JobStatus, NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue, Reached
from workers.jobs.settings import QueueSettings

NEVER_S = 3600.0


async def show(queue: Queue, redis: Redis, job: NewJob, stage: str, steps: int) -> None:
    """Takes all of a job's tasks at a stage so far, shows them, and goes on to what comes next."""
    tasks = await queue.claim("w1", stage, count=job.parameters.n)
    for step in range(1, steps + 1):
        await a_while_later(redis, job)
        reached = [Reached(task, step, steps) for task in tasks]
        await queue.progress(reached)
        for each in reached:
            await queue.preview(each, PNG)
    for task in tasks:
        if after := task.parameters.stage_after(stage):
            assert await queue.commit(task, "w1", b"pixels", after.name)
        else:
            assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE


async def draw_and_show(queue: Queue, redis: Redis, job: NewJob, steps: int = 2) -> None:
    await encode(queue)
    for stage in job.parameters.stages:
        await show(queue, redis, job, stage.name, steps)


async def test_a_job_is_followed_from_its_place_in_the_queue_to_its_end(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await draw_and_show(queue, redis, job, steps=1)
    shown = ["progress", "preview"]
    assert await follower.take() == ["state", "state", *shown, *shown, "image", "end"]
    begun, _, progressed, previewed, *_, done, end = follower.seen
    assert isinstance(begun, JobStands)
    assert (begun.job.status, begun.job.tasks_before) == (JobStatus.QUEUED, 0)
    at_the_base = ImageProgress(index=0, stage="32", step=1, steps=1)
    assert isinstance(progressed, Progressed)
    assert progressed.images == (at_the_base,)
    assert isinstance(previewed, Previewed)
    assert (previewed.image, previewed.png) == (at_the_base, PNG)
    assert isinstance(done, ImageDone)
    assert isinstance(end, JobStands)
    assert end.job == await ledger.job(job.id)
    assert (done.image,) == end.job.images


async def test_a_job_that_is_begun_is_running_to_who_follows(
    ledger: Ledger, queue: Queue, events: JobEvents
) -> None:
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.next()
    await encode(queue)
    await claim_one(queue, "w1", "32")
    begun = await follower.next()
    assert isinstance(begun, JobStands)
    assert (begun.kind, begun.job.status) == (EventKind.STATE, JobStatus.RUNNING)


async def test_an_image_that_fails_is_told_while_others_are_drawn(
    ledger: Ledger, queue: Queue, events: JobEvents
) -> None:
    job = await submit(ledger, n=2)
    await encode(queue)
    failing, other = await queue.claim("w1", "32", count=2)
    follower = Follower(job.id)
    await follower.connect(events)
    assert await follower.take(1) == ["state"]
    assert await queue.fail(failing, "w1", FAILURE)
    told = await follower.next()
    assert isinstance(told, JobStands)
    assert told.job.error is not None
    assert (told.kind, told.job.error.code) == (EventKind.STATE, FAILURE.code)
    assert await queue.fail(other, "w1", FAILURE)
    assert (await follower.take())[-1] == "end"
    assert follower.ends[0].job.status is JobStatus.FAILED


@pytest.mark.parametrize("taken", [1, 2, 3, 5])
async def test_nothing_is_missed_and_nothing_told_twice_however_often_the_connection_is_lost(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    events: JobEvents,
    queue_settings: QueueSettings,
    taken: int,
) -> None:
    """A worker goes on; after so many events the follower loses one API and finds another."""
    job = await submit(ledger, n=3)
    steady, restless = Follower(job.id), Follower(job.id)
    for follower in (steady, restless):
        await follower.connect(events)
        await follower.take(1)
    async with replica(queue_settings) as other, asyncio.timeout(PATIENCE_S):
        drawing = asyncio.create_task(draw_and_show(queue, redis, job))
        apis = [events, other]
        while not restless.ends:
            await restless.disconnect()
            apis.reverse()
            await restless.connect(apis[0])
            await restless.take(taken)
    await drawing
    await steady.take()
    assert restless.ids == steady.ids
    assert restless.images == steady.images == [0, 1, 2]
    assert len(steady.ends) == len(restless.ends) == 1
    kinds = [type(event) for event in steady.seen]
    assert (kinds.count(Progressed), kinds.count(Previewed)) == (2 * 2, 2 * 2 * 3)


async def test_who_has_seen_the_end_is_told_no_more(
    ledger: Ledger, redis: Redis, events: JobEvents, queue_settings: QueueSettings
) -> None:
    """By any API, also when the events are gone."""
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await ledger.cancel(job.id)
    assert (await follower.take())[-1] == "end"
    async with replica(queue_settings) as other:
        for api in (events, other):
            with pytest.raises(NothingMore):
                await follower.connect(api)
        await forget_events(redis, job)
        with pytest.raises(NothingMore):
            await follower.connect(other)


async def test_who_comes_after_the_end_is_told_it_once(ledger: Ledger, events: JobEvents) -> None:
    """Of a job that no one has followed."""
    job = await submit(ledger)
    await ledger.cancel(job.id)
    follower = Follower(job.id)
    await follower.connect(events)
    assert await follower.take() == ["end"]
    with pytest.raises(NothingMore):
        await follower.connect(events)


@pytest.mark.parametrize("long_ago", [False, True])
async def test_who_comes_after_an_end_that_others_have_followed_is_told_it_once(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents, long_ago: bool
) -> None:
    job = await submit(ledger)
    await Follower(job.id).connect(events)
    await draw_and_show(queue, redis, job)
    if long_ago:
        await forget_events(redis, job)
    late = Follower(job.id)
    await late.connect(events)
    assert await late.take() == ["end"]
    assert late.ends[0].job.images
    with pytest.raises(NothingMore):
        await late.connect(events)


async def test_an_end_between_the_look_and_the_first_event_is_told(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)  # has looked, and has not begun to wait
    await draw_and_show(queue, redis, job)
    kinds = await follower.take()
    assert (kinds[0], kinds[-2:]) == ("state", ["image", "end"])
    begun = follower.seen[0]
    assert isinstance(begun, JobStands)
    assert begun.job.status is JobStatus.QUEUED


async def test_who_comes_back_when_the_events_are_gone_is_told_how_the_job_stands_and_goes_on(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger, n=2)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    await follower.disconnect()
    await encode(queue)
    assert await draw(queue)
    await forget_events(redis, job)
    await follower.connect(events)
    stands = await follower.next()
    assert isinstance(stands, JobStands)
    assert (stands.kind, [image.index for image in stands.job.images]) == (EventKind.STATE, [0])
    await follower.disconnect()
    await follower.connect(events)
    assert await draw(queue)
    assert await follower.take() == ["image", "end"]
    assert follower.images == [1]


async def test_events_that_go_while_someone_does_not_look_are_made_up_for(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    """As by a client who is slow to read what it was sent."""
    job = await submit(ledger, n=2)
    follower = Follower(job.id)
    await follower.connect(events)
    await encode(queue)
    assert await follower.take(1) == ["state"]
    assert await draw(queue)
    await forget_events(redis, job)
    assert await follower.take(1) == ["state"]
    assert await draw(queue)
    await forget_events(redis, job)
    assert await follower.take() == ["end"]
    assert [image.index for image in follower.ends[0].job.images] == [0, 1]


async def test_of_very_many_events_the_oldest_go(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    """A follower who is further behind is told how the job stands, and goes on from there."""
    job = await submit(ledger)
    away, slow = Follower(job.id), Follower(job.id)
    for follower in (away, slow):
        await follower.connect(events)
        await follower.take(1)
    await away.disconnect()
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    for step in range(2500):
        await queue.preview(Reached(task, step, 2500), PNG)
    assert await redis.xlen(keys.events(job.id)) <= 2100
    await away.connect(events)
    for follower in (away, slow):
        assert await follower.take(1) == ["state"]
    await ledger.cancel(job.id)
    for follower in (away, slow):
        assert await follower.take() == ["end"]


@pytest.mark.parametrize("at_once", [1, 2, 7])
async def test_many_events_are_taken_in_parts_without_a_pause(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    queue_settings: QueueSettings,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    """By one who hears of nothing and would look again in an hour."""
    monkeypatch.setattr(events_module, "AT_ONCE", at_once)
    monkeypatch.setattr(events_module, "LOOK_S", NEVER_S)
    monkeypatch.setattr(events_module, "LOOK_QUEUED_S", NEVER_S)
    deaf = JobEvents(redis, queue_settings, ledger)
    job = await submit(ledger, n=3)
    follower = Follower(job.id)
    await follower.connect(deaf)
    await follower.take(1)
    assert follower.last_id is not None
    await draw_and_show(queue, redis, job, steps=1)
    part = await deaf._since(job.id, follower.last_id)
    assert part is not None
    assert len(part) == at_once
    assert (await follower.take())[-1] == "end"
    assert follower.images == [0, 1, 2]


async def test_an_erased_job_has_ended_and_nothing_of_it_is_told(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger, n=2)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    await encode(queue)
    assert await draw(queue)
    await show_one(queue)
    await ledger.erase(job.id)
    assert await follower.take() == ["end"]
    assert follower.ends[0].job.erased
    kept: Any = await redis.xrange(keys.events(job.id))
    assert [fields for _, fields in kept] == [{b"kind": b"end", b"value": b""}]
    assert not await redis.exists(keys.previews(job.id))
    with pytest.raises(NothingMore):
        await follower.connect(events)


async def test_who_has_seen_the_end_is_told_that_the_job_was_erased_since(
    ledger: Ledger, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await ledger.cancel(job.id)
    await follower.take()
    await ledger.erase(job.id)
    await follower.connect(events)
    assert await follower.take() == ["end"]
    assert [end.job.erased for end in follower.ends] == [False, True]
    await forget_events(redis, job)
    with pytest.raises(NothingMore):
        await follower.connect(events)


async def show_one(queue: Queue) -> None:
    task = await claim_one(queue, "w1", "32")
    await queue.progress([Reached(task, 1, 20)])
    await queue.preview(Reached(task, 1, 20), PNG)


Unknown = Callable[[str], str]


@pytest.mark.parametrize(
    "unknown",
    [
        lambda last: "999999999999999-0",
        lambda last: "0-1",
        lambda last: f"{last}999",
        lambda last: f"{int(last.partition('-')[0]) - 1}-0",
    ],
    ids=["of the future", "of no one", "between two", "of an earlier time"],
)
@pytest.mark.parametrize("ended", [False, True])
async def test_who_comes_with_an_id_that_the_job_has_not_is_told_how_it_stands(
    ledger: Ledger, events: JobEvents, unknown: Unknown, ended: bool
) -> None:
    job = await submit(ledger)
    first = Follower(job.id)
    await first.connect(events)
    await first.take(1)
    assert first.last_id is not None
    follower = Follower(job.id, last_id=unknown(first.last_id))
    if ended:
        await ledger.cancel(job.id)
    await follower.connect(events)
    if not ended:
        assert await follower.take(1) == ["state"]
        await ledger.cancel(job.id)
    assert await follower.take() == ["end"]


async def test_an_unknown_job_cannot_be_followed(redis: Redis, events: JobEvents) -> None:
    with pytest.raises(JobNotFound):
        await events.look("unknown")
    assert await redis.exists(keys.events("unknown")) == 0


async def test_a_record_that_ends_while_it_is_followed_is_said_so(
    ledger: Ledger, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    await ledger.cancel(job.id)
    await redis.delete(keys.job(job.id), keys.events(job.id))
    with pytest.raises(JobNotFound):
        await follower.next()
    await redis.delete(keys.jobs("ann"))


async def has_begun_to_wait(ledger: Ledger, job: NewJob) -> None:
    """Who was about to has asked Redis for events before us, and has had the answer."""
    for _ in range(3):
        await ledger.job(job.id)


@pytest.mark.parametrize("queued", [True, False])
async def test_what_is_not_announced_is_seen_at_the_next_look(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    queue_settings: QueueSettings,
    monkeypatch: pytest.MonkeyPatch,
    queued: bool,
) -> None:
    monkeypatch.setattr(events_module, "LOOK_S", NEVER_S if queued else 0.05)
    monkeypatch.setattr(events_module, "LOOK_QUEUED_S", 0.05 if queued else NEVER_S)
    deaf = JobEvents(redis, queue_settings, ledger)
    job = await submit(ledger)
    if not queued:
        await encode(queue)
        await claim_one(queue, "w1", "32")
    follower = Follower(job.id)
    await follower.connect(deaf)
    assert await follower.take(1) == ["state"]
    following = asyncio.create_task(follower.take())
    await has_begun_to_wait(ledger, job)
    await ledger.cancel(job.id)
    assert await following == ["end"]


async def test_what_is_announced_is_seen_at_once(
    ledger: Ledger, queue: Queue, events: JobEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "LOOK_S", NEVER_S)
    monkeypatch.setattr(events_module, "LOOK_QUEUED_S", NEVER_S)
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)

    async def sees(kind: str, happen: Awaitable[object]) -> None:
        following = asyncio.create_task(follower.take(1))
        await has_begun_to_wait(ledger, job)
        await happen
        assert await following == [kind]

    await encode(queue)
    await sees("state", queue.claim("w1", "32", count=1))
    (task,) = queue.held("w1")
    await sees("progress", queue.progress([Reached(task, 1, 20)]))
    await sees("preview", queue.preview(Reached(task, 1, 20), PNG))
    await sees("end", ledger.erase(job.id))


async def test_who_goes_is_waited_for_no_more(ledger: Ledger, events: JobEvents) -> None:
    job = await submit(ledger)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    assert events.bells.waiting(job.id) == 1
    await follower.disconnect()
    assert events.bells.waiting(job.id) == 0
    await follower.connect(events)
    await ledger.cancel(job.id)
    await follower.take()
    assert events.bells.waiting(job.id) == 0


async def test_closed_bells_end_it_and_another_api_goes_on(
    ledger: Ledger, events: JobEvents, queue_settings: QueueSettings
) -> None:
    """As an API closes them that stops."""
    job = await submit(ledger)
    follower = Follower(job.id)
    async with replica(queue_settings) as stopping:
        await follower.connect(stopping)
        await follower.take(1)
        following = asyncio.create_task(follower.take())
        await has_begun_to_wait(ledger, job)
        stopping.bells.close()
        assert await following == []
    await follower.connect(events)
    await ledger.cancel(job.id)
    assert (await follower.take())[-1] == "end"


@pytest.mark.parametrize("seen", [0, 1])
async def test_without_redis_it_ends_and_goes_on_where_it_was(tmp_path: Path, seen: int) -> None:
    """seen: how many of the previews that were there."""
    with EmbeddedQueue(tmp_path) as server:
        settings = QueueSettings(redis_url=server.url, data_dir=tmp_path)
        async with connect(settings) as client, replica(settings) as events:
            ledger, queue = Ledger(client, settings), Queue(client, settings)
            job = await submit(ledger)
            follower = Follower(job.id)
            await follower.connect(events)
            await encode(queue)
            task = await claim_one(queue, "w1", "32")
            assert await follower.take(2) == ["state", "state"]
            for step in (1, 2):
                await queue.preview(Reached(task, step, 20), PNG)
            await follower.take(seen)
            server.stop()
            with pytest.raises(QueueUnavailable):
                await follower.next()
            with pytest.raises(QueueUnavailable):
                await follower.connect(events)
            server.start()
            await follower.connect(events)
            await ledger.cancel(job.id)
            assert await follower.take() == [*(["preview"] * (2 - seen)), "end"]


async def test_events_are_kept_of_followed_jobs_alone(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    unfollowed, followed = await submit(ledger), await submit(ledger)
    await events.look(followed.id)
    for job in (unfollowed, followed):
        await draw_and_show(queue, redis, job)
    assert await redis.exists(keys.events(unfollowed.id)) == 0
    assert await redis.xlen(keys.events(followed.id)) > 1


async def test_events_are_kept_for_a_while_after_the_last_look(
    ledger: Ledger, redis: Redis, events: JobEvents
) -> None:
    job = await submit(ledger)
    for end in (False, True):
        await events.look(job.id)
        assert FOLLOWED_S - 5 < await redis.ttl(keys.events(job.id)) <= FOLLOWED_S
        if not end:
            await redis.expire(keys.events(job.id), 7)
            await ledger.cancel(job.id)
            assert 0 < await redis.ttl(keys.events(job.id)) <= 7


async def test_a_follower_of_whom_much_is_told_looks_as_well(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    events: JobEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the events would go while they are followed."""
    monkeypatch.setattr(events_module, "LOOK_S", 0.0)
    job = await submit(ledger)
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    for step in (1, 2):
        await queue.preview(Reached(task, step, 2), PNG)
        await redis.expire(keys.events(job.id), 7)
        events.bells.ring(job.id)
        assert await follower.take(1) == ["preview"]
    assert await redis.ttl(keys.events(job.id)) > 7
