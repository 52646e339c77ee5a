"""How far images are: never more than there is, told a few times a second, gone with the task."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    FAILURE,
    a_job,
    a_while_later,
    alive_since_long,
    an_image,
    claim_one,
    draw,
    encode,
    past_its_deadline,
)
from tests.workers.jobs.follower import Follower
from workers.jobs import keys
from workers.jobs.events import Event, JobEvents, Previewed, Progressed
from workers.jobs.job import ImageProgress, Job, JobStatus, NewJob, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect, Queue, Reached

PNG = b"png"

BASE = 20 * 32 * 32 * 2
"""The work of the base stage of `a_job`: its steps are guided, so that each counts twice."""
UPPER = 8 * 128 * 128


async def begun(ledger: Ledger, queue: Queue, n: int = 1) -> tuple[NewJob, list[Task]]:
    """A job whose images are all at the base stage."""
    job = a_job(n=n)
    await ledger.submit(job)
    await encode(queue)
    return job, await queue.claim("w1", "32", count=n)


async def under_way(ledger: Ledger, job: NewJob) -> list[tuple[int, str, int, int]]:
    images = (await ledger.job(job.id)).progress
    return [(image.index, image.stage, image.step, image.steps) for image in images]


async def progress_told(redis: Redis, job: NewJob) -> int:
    """How often."""
    told: Any = await redis.xrange(keys.events(job.id))
    return sum(fields[b"kind"] == b"progress" for _, fields in told)


async def test_an_image_is_under_way_from_its_first_step_until_it_is_done(
    ledger: Ledger, queue: Queue
) -> None:
    job, (first, second) = await begun(ledger, queue, n=2)
    assert await under_way(ledger, job) == []
    await queue.progress([Reached(second, 3, 20), Reached(first, 5, 20)])
    assert await under_way(ledger, job) == [(0, "32", 5, 20), (1, "32", 3, 20)]
    assert await queue.commit(first, "w1", b"pixels", "128")
    assert await under_way(ledger, job) == [(0, "128", 0, 8), (1, "32", 3, 20)]
    first = await claim_one(queue, "w1", "128")
    await queue.progress([Reached(first, 8, 8)])
    assert await queue.finish(first, "w1", an_image(first)) is Effect.DONE
    assert await under_way(ledger, job) == [(1, "32", 3, 20)]
    assert await queue.fail(second, "w1", FAILURE)
    assert await under_way(ledger, job) == []


async def by_cancel(ledger: Ledger, redis: Redis, job: NewJob) -> None:
    assert await ledger.cancel(job.id)


async def by_erase(ledger: Ledger, redis: Redis, job: NewJob) -> None:
    await ledger.erase(job.id)


async def by_expiry(ledger: Ledger, redis: Redis, job: NewJob) -> None:
    await past_its_deadline(redis, job)
    await ledger.expire()


@pytest.mark.parametrize("end", [by_cancel, by_erase, by_expiry])
async def test_nothing_is_under_way_of_a_job_that_has_ended(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    end: Callable[[Ledger, Redis, NewJob], Awaitable[None]],
) -> None:
    job = a_job(n=3, deadline_s=600.0)
    await ledger.submit(job)
    await encode(queue)
    held, moved = await queue.claim("w1", "32", count=2)
    await queue.progress([Reached(held, 5, 20), Reached(moved, 5, 20)])
    assert await queue.commit(moved, "w1", b"pixels", "128")
    await end(ledger, redis, job)
    await queue.progress([Reached(held, 6, 20)])
    assert await under_way(ledger, job) == []


async def hand_back(queue: Queue, redis: Redis, tasks: list[Task]) -> None:
    await queue.hand_back("w1", tasks)


async def die(queue: Queue, redis: Redis, tasks: list[Task]) -> None:
    await alive_since_long(redis, "w2")
    await queue.reclaim("w2", tasks[0].stage)


@pytest.mark.parametrize("give_up", [hand_back, die])
async def test_what_is_begun_anew_has_done_no_steps(
    ledger: Ledger,
    queue: Queue,
    redis: Redis,
    give_up: Callable[[Queue, Redis, list[Task]], Awaitable[None]],
) -> None:
    """At its stage: those before are done and stay so."""
    job, (first, second, unseen) = await begun(ledger, queue, n=3)
    await queue.progress([Reached(first, 20, 20), Reached(second, 5, 20)])
    assert await queue.commit(first, "w1", b"pixels", "128")
    first = await claim_one(queue, "w1", "128")
    await queue.progress([Reached(first, 7, 8)])
    for tasks in ([first], [second, unseen]):
        await give_up(queue, redis, tasks)
    assert await under_way(ledger, job) == [(0, "128", 0, 8), (1, "32", 0, 20)]
    await queue.progress([Reached(first, 8, 8)])  # comes too late
    assert await under_way(ledger, job) == [(0, "128", 0, 8), (1, "32", 0, 20)]


async def test_who_has_lost_a_task_tells_nothing_of_it(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job, (lost, kept) = await begun(ledger, queue, n=2)
    await queue.hand_back("w1", [lost])
    current = await claim_one(queue, "w2", "32")
    await queue.progress([Reached(current, 2, 20)])
    await events.look(job.id)
    assert await queue.progress([Reached(lost, 19, 20)]) == set()
    await queue.preview(Reached(lost, 19, 20), PNG)
    assert await redis.xlen(keys.events(job.id)) == 1
    assert await queue.progress([Reached(lost, 19, 20), Reached(kept, 1, 20)]) == {kept.key}
    assert await under_way(ledger, job) == [(0, "32", 2, 20), (1, "32", 1, 20)]


async def test_a_worker_learns_of_which_tasks_the_jobs_are_followed(
    ledger: Ledger, queue: Queue, events: JobEvents
) -> None:
    _, unfollowed = await begun(ledger, queue, n=2)
    job, followed = await begun(ledger, queue, n=2)
    await events.look(job.id)
    told = await queue.progress([Reached(task, 1, 20) for task in [*unfollowed, *followed]])
    assert told == {task.key for task in followed}


async def test_progress_of_a_job_is_told_at_most_four_times_a_second(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    """By all workers together."""
    clock = asyncio.get_running_loop().time
    job, (first, second) = await begun(ledger, queue, n=2)
    await queue.hand_back("w1", [second])
    second = await claim_one(queue, "w2", "32")
    await events.look(job.id)
    began_s = clock()
    for step in range(20):
        for task in (first, second):
            await queue.progress([Reached(task, step, 20)])
    assert 1 <= await progress_told(redis, job) <= 1 + (clock() - began_s) / 0.25


async def test_progress_of_a_job_is_not_told_within_a_quarter_of_a_second(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    """Told just before it, by a clock that is 0.24 s ahead: so a slow machine has time."""
    clock = asyncio.get_running_loop().time
    job, (task,) = await begun(ledger, queue)
    await events.look(job.id)
    began_s = clock()
    seconds, microseconds = await redis.time()
    told_ms = 1000 * seconds + microseconds // 1000 + 240
    await redis.hset(keys.job(job.id), "progress_told_ms", str(told_ms))
    await queue.progress([Reached(task, 1, 20)])
    assert await progress_told(redis, job) <= (clock() - began_s) / 0.25


async def test_all_images_under_way_are_told_of_whoever_draws_them(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job, (first, second, third) = await begun(ledger, queue, n=3)
    await queue.hand_back("w1", [third])
    third = await claim_one(queue, "w2", "32")
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    for reached in (
        [Reached(second, 2, 20), Reached(first, 1, 20)],
        [Reached(third, 3, 20)],
        [Reached(second, 5, 20)],
    ):
        await queue.progress(reached)
        await a_while_later(redis, job)
    told = [images_of(event) for event in [await follower.next() for _ in range(3)]]
    assert told == [
        [(0, 1), (1, 2)],
        [(0, 1), (1, 2), (2, 3)],
        [(0, 1), (1, 5), (2, 3)],
    ]


def images_of(event: Event) -> list[tuple[int, int]]:
    """Index and step of each."""
    assert isinstance(event, Progressed)
    return [(image.index, image.step) for image in event.images]


async def test_progress_is_told_four_times_a_second_of_each_job(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    jobs, tasks = zip(*[await begun(ledger, queue) for _ in range(2)], strict=True)
    for job in jobs:
        await events.look(job.id)
    await queue.progress([Reached(task, 1, 20) for (task,) in tasks])
    assert [await progress_told(redis, job) for job in jobs] == [1, 1]


async def test_what_no_one_was_told_keeps_no_one_waiting(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job, (task,) = await begun(ledger, queue)
    await queue.progress([Reached(task, 1, 20)])
    await events.look(job.id)
    await queue.progress([Reached(task, 2, 20)])
    assert await progress_told(redis, job) == 1


async def test_a_clock_that_is_set_back_silences_no_one(
    ledger: Ledger, queue: Queue, redis: Redis, events: JobEvents
) -> None:
    job, (task,) = await begun(ledger, queue)
    await events.look(job.id)
    seconds, _ = await redis.time()
    await redis.hset(keys.job(job.id), "progress_told_ms", str(1000 * (seconds + 3600)))
    await queue.progress([Reached(task, 1, 20)])
    assert await progress_told(redis, job) == 1


async def test_a_preview_shows_an_image_at_a_step(
    ledger: Ledger, queue: Queue, events: JobEvents
) -> None:
    """Every one is told, in its bytes."""
    job, (_, task) = await begun(ledger, queue, n=2)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.take(1)
    pngs = [bytes(range(256)), b"\x00", PNG]
    for step, png in enumerate(pngs):
        await queue.preview(Reached(task, step, 20), png)
    shown = [await follower.next() for _ in pngs]
    assert [(event.image, event.png) for event in shown if isinstance(event, Previewed)] == [
        (ImageProgress(index=1, stage="32", step=step, steps=20), png)
        for step, png in enumerate(pngs)
    ]


async def test_the_work_that_is_done_is_that_of_the_steps_done(
    ledger: Ledger, queue: Queue
) -> None:
    """By hand, in pixels stepped: two images of two stages, the lower one guided."""
    job, (first, second) = await begun(ledger, queue, n=2)
    whole = 2 * (BASE + UPPER)

    async def done() -> float:
        return (await ledger.job(job.id)).fraction_done * whole

    assert await done() == 0
    await queue.progress([Reached(first, 5, 20), Reached(second, 10, 20)])
    assert await done() == pytest.approx(BASE / 4 + BASE / 2)
    assert await queue.commit(first, "w1", b"pixels", "128")
    assert await done() == pytest.approx(BASE + BASE / 2)
    first = await claim_one(queue, "w1", "128")
    await queue.progress([Reached(first, 2, 8)])
    assert await done() == pytest.approx(BASE + UPPER / 4 + BASE / 2)
    assert await queue.finish(first, "w1", an_image(first)) is Effect.DONE
    assert await done() == pytest.approx(BASE + UPPER + BASE / 2)
    assert await queue.fail(second, "w1", FAILURE)
    assert (await ledger.job(job.id)).fraction_done == 0.5


def test_a_guided_step_counts_twice_where_it_is_guided() -> None:
    asked = a_job()
    base, upper = asked.parameters.stages
    upper = upper.model_copy(update={"guidance_scale": 3.0})  # from 0.2 to 0.8 of the time
    parameters = asked.parameters.model_copy(update={"stages": (base, upper)})
    at_the_end_of_the_base = ImageProgress(index=0, stage="128", step=0, steps=8)
    job = Job(id="a", parameters=parameters, created_at=0.0, progress=(at_the_end_of_the_base,))
    assert job.fraction_done == pytest.approx(BASE / (BASE + 1.6 * UPPER))


async def test_while_nothing_goes_wrong_the_work_done_grows_to_one(
    ledger: Ledger, queue: Queue
) -> None:
    job, tasks = await begun(ledger, queue, n=3)
    seen: list[float] = []

    async def look() -> None:
        seen.append((await ledger.job(job.id)).fraction_done)

    await look()
    for stage, steps in (("32", 20), ("128", 8)):
        tasks = tasks if stage == "32" else await queue.claim("w1", stage, count=3)
        for step in range(1, steps + 1):
            await queue.progress([Reached(task, step, steps) for task in tasks])
            await look()
        for task in tasks:
            if stage == "32":
                assert await queue.commit(task, "w1", b"pixels", "128")
            else:
                assert await queue.finish(task, "w1", an_image(task)) is Effect.DONE
            await look()
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert is_rising(seen)


def is_rising(values: Iterable[float]) -> bool:
    """But for what rounding takes away."""
    return all(before <= after + 1e-9 for before, after in pairwise(values))


async def test_a_job_without_reports_is_done_when_its_images_are(
    ledger: Ledger, queue: Queue
) -> None:
    """No worker has to tell how far it is."""
    job = a_job(n=2)
    await ledger.submit(job)
    await encode(queue)
    for done in (0.5, 1.0):
        assert await draw(queue)
        assert (await ledger.job(job.id)).fraction_done == done
