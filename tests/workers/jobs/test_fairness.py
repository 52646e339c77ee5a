"""What is drawn next: the higher priority; among equals, the owner who has had the least."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.workers.jobs.conftest import ENCODER, a_job, alive_since_long, claim_one, encode
from workers.jobs import keys
from workers.jobs.job import Priority, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings

MOST_IMAGES_AHEAD = 256
"""As claim.lua has it."""


async def encode_all(queue: Queue) -> None:
    """As far ahead as text may run."""
    while tasks := await queue.claim("w1", "text", count=1):
        given = {"a red apple": b"apple", "": b"none"}
        assert await queue.commit_text(tasks[0], "w1", ENCODER, given)


async def next_image(queue: Queue) -> Task:
    """What a worker with room for one draws next."""
    await encode_all(queue)
    return await claim_one(queue, "w1", "32")


async def owner_of(ledger: Ledger, task: Task) -> str:
    return (await ledger.job(task.job_id)).owner


async def submit_many(ledger: Ledger, owner: str, jobs: int, n: int = 1, steps: int = 20) -> None:
    for _ in range(jobs):
        await ledger.submit(a_job(owner=owner, n=n, steps=steps))


async def test_a_single_image_does_not_wait_for_anothers_thousand(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await submit_many(ledger, "ann", jobs=125, n=8)
    for _ in range(20):
        await next_image(queue)
    await ledger.submit(a_job(owner="bob"))
    drawn = [await owner_of(ledger, await next_image(queue)) for _ in range(2)]
    assert "bob" in drawn  # in the first place, or in the second where they are tied


async def test_within_an_owner_it_is_first_come_first_served(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    jobs = [a_job(owner="ann", n=2, steps=steps) for steps in (90, 1, 30)]
    for job in jobs:
        await ledger.submit(job)
    drawn = [(await next_image(queue)).name for _ in range(6)]
    assert drawn == [f"{job.id}:{image}" for job in jobs for image in range(2)]


async def test_images_of_one_job_do_not_hold_up_anothers(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """They take turns image by image, not job by job."""
    await submit_many(ledger, "ann", jobs=1, n=8)
    await next_image(queue)
    await submit_many(ledger, "bob", jobs=1, n=8)
    drawn = [await owner_of(ledger, await next_image(queue)) for _ in range(8)]
    for turn in range(0, 8, 2):
        assert set(drawn[turn : turn + 2]) == {"ann", "bob"}


a_backlog = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 100)), min_size=8, max_size=8)
"""An owner's jobs: n and steps of each."""


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(backlogs=st.lists(a_backlog, min_size=2, max_size=4))
async def test_owners_with_backlogs_get_equal_work(
    ledger: Ledger, queue: Queue, redis: Redis, backlogs: list[list[tuple[int, int]]]
) -> None:
    """By what the images cost and not by how many: never further apart than one image of each."""
    await redis.flushall()
    owners: dict[str, str] = {}
    left: Counter[str] = Counter()
    largest: Counter[str] = Counter()
    for i, backlog in enumerate(backlogs):
        for n, steps in backlog:
            job = a_job(owner=f"owner-{i}", n=n, steps=steps)
            owners[job.id] = job.owner
            left[job.owner] += n
            largest[job.owner] = max(largest[job.owner], job.parameters.image_cost)
            await ledger.submit(job)
    most_apart = sum(cost for _, cost in largest.most_common(2))
    work = Counter(dict.fromkeys(left, 0))
    while min(left.values()) > 0:
        task = await next_image(queue)
        owner = owners[task.job_id]
        left[owner] -= 1
        work[owner] += task.parameters.image_cost
        assert max(work.values()) - min(work.values()) <= most_apart
    await redis.flushall()


@pytest.mark.parametrize("upper", [False, True], ids=["", "while the next stage has a backlog"])
async def test_an_owner_who_was_idle_has_saved_nothing_up(
    ledger: Ledger, queue: Queue, redis: Redis, upper: bool
) -> None:
    await submit_many(ledger, "bob", jobs=1)
    await next_image(queue)
    await submit_many(ledger, "ann", jobs=60)
    for _ in range(30):
        task = await next_image(queue)
        if upper:
            await queue.commit(task, "w1", b"pixels", "128")
            await claim_one(queue, "w1", "128")
    await submit_many(ledger, "bob", jobs=60)
    drawn = Counter([await owner_of(ledger, await next_image(queue)) for _ in range(20)])
    assert abs(drawn["ann"] - drawn["bob"]) <= 2


async def test_an_owner_who_comes_when_nothing_waits_has_saved_nothing_up(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """The clock remembers how far drawing has come, though no task is left to read it from."""
    await submit_many(ledger, "ann", jobs=30)
    for _ in range(30):
        await next_image(queue)
    await submit_many(ledger, "bob", jobs=20)
    await submit_many(ledger, "ann", jobs=20)
    drawn = Counter([await owner_of(ledger, await next_image(queue)) for _ in range(20)])
    assert abs(drawn["ann"] - drawn["bob"]) <= 2


async def test_who_had_much_when_no_one_else_asked_does_not_pay_for_it(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    await submit_many(ledger, "ann", jobs=30)
    for _ in range(30):
        await next_image(queue)
    await submit_many(ledger, "ann", jobs=20)
    await submit_many(ledger, "bob", jobs=20)
    drawn = Counter([await owner_of(ledger, await next_image(queue)) for _ in range(20)])
    assert abs(drawn["ann"] - drawn["bob"]) <= 2


async def test_who_cancels_does_not_pay_for_what_was_not_drawn(
    ledger: Ledger, queue: Queue
) -> None:
    regretted = [a_job(owner="ann", n=4) for _ in range(10)]
    for job in regretted:
        await ledger.submit(job)
    for _ in range(2):
        await next_image(queue)
    for job in regretted:
        await ledger.cancel(job.id)
    await submit_many(ledger, "bob", jobs=20)
    await submit_many(ledger, "ann", jobs=20)
    drawn = Counter([await owner_of(ledger, await next_image(queue)) for _ in range(20)])
    assert abs(drawn["ann"] - drawn["bob"]) <= 2


async def test_what_an_owner_has_had_is_known_as_long_as_anything_of_his_waits(
    ledger: Ledger, redis: Redis, queue_settings: QueueSettings
) -> None:
    jobs = [a_job(owner="ann") for _ in range(2)]
    for job in jobs:
        await ledger.submit(job)
    await ledger.cancel(jobs[0].id)
    assert await redis.ttl(keys.share("ann")) == -1
    await ledger.cancel(jobs[1].id)
    assert 0 < await redis.ttl(keys.share("ann")) <= queue_settings.retention_s


async def test_the_higher_priority_goes_first_at_every_stage(ledger: Ledger, queue: Queue) -> None:
    asked = [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW, Priority.HIGH]
    priorities = {}
    for priority in asked:
        job = a_job(owner="ann", priority=priority)
        priorities[job.id] = priority
        await ledger.submit(job)
    expected = sorted(asked, key=[Priority.HIGH, Priority.NORMAL, Priority.LOW].index)
    texts = await queue.claim("w1", "text", count=8)
    assert [priorities[task.job_id] for task in texts] == expected
    await queue.hand_back("w1", texts)
    for _ in asked:
        await encode(queue)
    images = await queue.claim("w1", "32", count=8)
    assert [priorities[task.job_id] for task in images] == expected
    for task in reversed(images):
        assert await queue.commit(task, "w1", b"pixels", "128")
    images = await queue.claim("w1", "128", count=8)
    assert [priorities[task.job_id] for task in images] == expected


async def test_one_priority_is_shared_as_if_the_others_were_not_there(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """What ann has had at a high priority is not held against her at a low one."""
    for _ in range(10):
        await ledger.submit(a_job(owner="ann", priority=Priority.HIGH))
        await next_image(queue)
    for owner in ("ann", "bob"):
        for _ in range(10):
            await ledger.submit(a_job(owner=owner, priority=Priority.LOW))
    drawn = Counter([await owner_of(ledger, await next_image(queue)) for _ in range(10)])
    assert abs(drawn["ann"] - drawn["bob"]) <= 2


@pytest.mark.parametrize("how", ["handed back", "reclaimed"])
async def test_what_has_to_be_done_again_goes_first(
    ledger: Ledger, queue: Queue, redis: Redis, how: str
) -> None:
    await submit_many(ledger, "ann", jobs=10)
    task = await next_image(queue)
    for _ in range(4):
        await claim_one(queue, "w2", "32")
    if how == "handed back":
        await queue.hand_back("w1", [task])
    else:
        await alive_since_long(redis, "w2", "w3")
        await queue.reclaim("w3", "32")
    assert (await claim_one(queue, "w4", "32")).name == task.name


async def test_text_does_not_run_far_ahead_of_drawing(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    """Embeddings can be large, and are kept for the jobs whose text is done."""
    await submit_many(ledger, "ann", jobs=40, n=8)
    await encode_all(queue)
    assert await redis.zcard(keys.ready("32")) == MOST_IMAGES_AHEAD
    assert await queue.claim("w1", "text", count=8) == []
    await queue.claim("w1", "32", count=8)
    assert len(await queue.claim("w1", "text", count=1)) == 1


async def test_text_is_not_held_up_by_images_of_a_stage_that_is_not_its_own(
    ledger: Ledger, queue: Queue
) -> None:
    """A cascade that was replaced while jobs of the old one waited."""
    await submit_many(ledger, "ann", jobs=40, n=8)
    await encode_all(queue)
    parameters = a_job().parameters
    base = parameters.stages[0].model_copy(update={"name": "64"})
    other = a_job(owner="ann").model_copy(
        update={"parameters": parameters.model_copy(update={"stages": (base,)})}
    )
    await ledger.submit(other)
    assert [task.job_id for task in await queue.claim("w1", "text", count=8)] == [other.id]


async def test_text_that_is_drawn_first_is_not_held_up_by_what_is_drawn_after_it(
    ledger: Ledger, queue: Queue
) -> None:
    await submit_many(ledger, "ann", jobs=40, n=8)
    await encode_all(queue)
    urgent = a_job(owner="ann", priority=Priority.HIGH)
    await ledger.submit(urgent)
    assert (await next_image(queue)).job_id == urgent.id
