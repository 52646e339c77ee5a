"""How many go before a job that waits: by the order in which tasks are served, and no other."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import a_job, claim_one, draw, encode, past_its_deadline
from tests.workers.jobs.follower import Follower
from workers.jobs import events as events_module
from workers.jobs.events import JobEvents, JobStands, Look
from workers.jobs.job import NewJob, Priority
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue


async def submit(ledger: Ledger, job: NewJob) -> NewJob:
    await ledger.submit(job)
    return job


async def position(ledger: Ledger, job: NewJob) -> int | None:
    return (await ledger.job(job.id)).tasks_before


async def test_who_has_just_come_is_told_its_place(ledger: Ledger) -> None:
    for before in range(3):
        job = a_job()
        assert (await ledger.submit(job)).job.tasks_before == before
        assert await position(ledger, job) == before


async def test_it_moves_up_as_others_are_served_until_it_runs(ledger: Ledger, queue: Queue) -> None:
    """Texts first, then images: one of each for every job before it."""
    jobs = [await submit(ledger, a_job()) for _ in range(4)]
    last = jobs[-1]
    seen = [await position(ledger, last)]
    for _ in jobs:
        await encode(queue)
        seen.append(await position(ledger, last))
    for _ in jobs[:-1]:
        await claim_one(queue, "w1", "32")
        seen.append(await position(ledger, last))
    assert seen == [3, 3, 3, 3, 3, 2, 1, 0]
    await claim_one(queue, "w1", "32")
    assert await position(ledger, last) is None


async def test_every_image_before_it_counts(ledger: Ledger, queue: Queue) -> None:
    before, job = await submit(ledger, a_job(n=3)), await submit(ledger, a_job(n=2))
    assert await position(ledger, job) == 1
    await encode(queue)
    assert await position(ledger, before) == 0
    assert await position(ledger, job) == 3
    await encode(queue)
    assert await position(ledger, job) == 3  # its own do not count
    await queue.claim("w1", "32", count=2)
    assert await position(ledger, job) == 1


async def test_a_task_that_is_handed_back_goes_first_again(ledger: Ledger, queue: Queue) -> None:
    await submit(ledger, a_job())
    job = await submit(ledger, a_job())
    await encode(queue)
    task = await claim_one(queue, "w1", "32")
    assert await position(ledger, job) == 0
    await queue.hand_back("w1", [task])
    assert await position(ledger, job) == 1


async def test_a_higher_priority_goes_before(ledger: Ledger) -> None:
    low = await submit(ledger, a_job(priority=Priority.LOW))
    normal = await submit(ledger, a_job())
    high = await submit(ledger, a_job(priority=Priority.HIGH))
    assert [await position(ledger, job) for job in (low, normal, high)] == [2, 1, 0]


async def test_who_goes_next_has_no_one_before_and_no_one_falls_back(
    ledger: Ledger, queue: Queue
) -> None:
    """Owners share, and who comes late with little goes before what another has waiting."""
    for _ in range(5):
        await submit(ledger, a_job(owner="ann"))
    await encode(queue)
    await claim_one(queue, "w1", "32")
    last_of_ann = await submit(ledger, a_job(owner="ann"))
    waiting = [last_of_ann, *[await submit(ledger, a_job(owner=owner)) for owner in "bcb"]]
    waiting += [await submit(ledger, a_job(owner="d", priority=each)) for each in Priority]
    cids = waiting[2]

    async def places() -> dict[str, int | None]:
        return {job.id: await position(ledger, job) for job in waiting}

    told = await places()
    assert (told[cids.id] or 0) < (told[last_of_ann.id] or 0)
    for _ in range(4 + len(waiting)):
        await encode(queue)
        before, told = told, await places()
        assert not_higher(told, before)
    while tasks := await queue.claim("w1", "32", count=1):
        assert told.get(tasks[0].job_id, 0) == 0
        before, told = told, await places()
        assert not_higher(told, before)
    assert set(told.values()) == {None}


def not_higher(places: dict[str, int | None], before: dict[str, int | None]) -> bool:
    return all((places[job] or 0) <= (before[job] or 0) for job in places)


@pytest.mark.parametrize("ends", ["canceled", "expired"])
async def test_what_has_ended_is_before_no_one(
    ledger: Ledger, queue: Queue, redis: Redis, ends: str
) -> None:
    before = await submit(ledger, a_job(n=3, deadline_s=600.0))
    job = await submit(ledger, a_job())
    await encode(queue)
    assert await position(ledger, job) == 3
    if ends == "canceled":
        await ledger.cancel(before.id)
    else:
        await past_its_deadline(redis, before)
        await ledger.expire()
    assert await position(ledger, job) == 0
    assert await position(ledger, before) is None


async def test_who_follows_is_told_when_it_moves_and_only_then(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "LOOK_QUEUED_S", 0.01)
    for _ in range(3):
        await submit(ledger, a_job())
    job = await submit(ledger, a_job())
    follower = Follower(job.id)
    await follower.connect(events)
    assert await place_told(follower) == 3
    first_id = follower.last_id
    for _ in range(4):
        await encode(queue)
    looks = count_looks(events, monkeypatch)
    for before in (2, 1, 0):
        telling = asyncio.create_task(place_told(follower))
        looked = len(looks)
        while len(looks) < looked + 3 and not telling.done():
            await asyncio.sleep(0.001)
        assert not telling.done()
        await claim_one(queue, "w1", "32")
        assert await telling == before
    assert follower.ids == [first_id]
    await claim_one(queue, "w1", "32")
    assert await place_told(follower) is None
    assert len(follower.ids) == 2


def count_looks(events: JobEvents, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each: the id of the job that was looked at."""
    looks: list[str] = []
    look = events.look

    async def counted(job_id: str, after: str | None = None, previews: bool = True) -> Look:
        looks.append(job_id)
        return await look(job_id, after, previews)

    monkeypatch.setattr(events, "look", counted)
    return looks


async def place_told(follower: Follower) -> int | None:
    event = await follower.next()
    assert isinstance(event, JobStands)
    return event.job.tasks_before


async def test_who_comes_back_is_told_its_place(
    ledger: Ledger, queue: Queue, events: JobEvents
) -> None:
    await submit(ledger, a_job())
    job = await submit(ledger, a_job())
    follower = Follower(job.id)
    await follower.connect(events)
    assert await place_told(follower) == 1
    await follower.disconnect()
    await encode(queue)
    await claim_one(queue, "w1", "32")
    await follower.connect(events)
    assert await place_told(follower) == 0
    assert len(follower.ids) == 1


async def test_a_job_that_runs_or_has_ended_has_no_place(ledger: Ledger, queue: Queue) -> None:
    job = await submit(ledger, a_job())
    await encode(queue)
    assert await position(ledger, job) == 0
    task = await claim_one(queue, "w1", "32")
    assert await position(ledger, job) is None
    await queue.hand_back("w1", [task])
    assert await position(ledger, job) is None
    await draw(queue)
    assert await position(ledger, job) is None
