"""An owner's jobs, the newest first: no page skips or repeats one, whatever comes and goes."""

import asyncio
import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import FAILURE, a_job, claim_one, draw, encode
from tests.workers.jobs.follower import PATIENCE_S
from workers.jobs import history as history_module
from workers.jobs import keys
from workers.jobs.history import History, Page
from workers.jobs.job import Job, JobStatus, NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings


@pytest.fixture
def history(redis: Redis, queue_settings: QueueSettings) -> History:
    return History(redis, queue_settings)


async def submit(ledger: Ledger, count: int = 1, owner: str = "ann") -> list[str]:
    """Ids, the newest first."""
    ids = [(await ledger.submit(a_job(owner=owner))).job.id for _ in range(count)]
    return ids[::-1]


async def record_ends(redis: Redis, job_id: str, ledger: Ledger) -> None:
    """As if its retention were over."""
    await ledger.cancel(job_id)
    await redis.delete(keys.job(job_id))


def ids(page: Page) -> list[str]:
    return [job.id for job in page.jobs]


async def all_pages(history: History, most: int) -> list[str]:
    """Ids, from page to page to the last."""
    found: list[str] = []
    before: int | None = None
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = await history.page("ann", most, before)
            found += ids(page)
            if page.before is None:
                return found
            before = page.before


async def test_the_newest_job_comes_first_as_it_stands(
    ledger: Ledger, queue: Queue, history: History
) -> None:
    older, newer = await submit(ledger), await submit(ledger)
    await encode(queue)
    await draw(queue)
    page = await history.page("ann", 20)
    assert page == Page((await ledger.job(newer[0]), await ledger.job(older[0])), None)
    assert [job.status for job in page.jobs] == [JobStatus.QUEUED, JobStatus.SUCCEEDED]
    assert page.jobs[0].tasks_before == 0


async def test_who_has_no_jobs_has_none(history: History) -> None:
    assert await history.page("ann", 20) == Page((), None)
    assert await history.page("ann", 20, before=5) == Page((), None)


async def test_owners_see_their_own(ledger: Ledger, history: History) -> None:
    anns, bobs, nobodys = [await submit(ledger, 2, owner) for owner in ("ann", "bob", "")]
    for owner, jobs in (("ann", anns), ("bob", bobs), ("", nobodys)):
        assert ids(await history.page(owner, 20)) == jobs


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8])
async def test_pages_follow_each_other_without_gap(
    ledger: Ledger, history: History, most: int
) -> None:
    jobs = await submit(ledger, 7)
    assert await all_pages(history, most) == jobs


async def test_jobs_that_are_accepted_at_once_are_all_there(
    ledger: Ledger, history: History
) -> None:
    asked = [a_job(owner="ann") for _ in range(40)]
    await asyncio.gather(*map(ledger.submit, asked))
    found = await all_pages(history, 3)
    assert len(found) == 40
    assert set(found) == {job.id for job in asked}


async def test_order_and_pages_hold_when_the_clock_is_set_back(
    ledger: Ledger, redis: Redis, history: History
) -> None:
    """As if the newest had been accepted in what is the future now."""
    (first,) = await submit(ledger)
    await redis.zincrby(keys.jobs("ann"), 3600e6, first)
    jobs = [*await submit(ledger, 4), first]
    assert await all_pages(history, 2) == jobs


async def test_new_jobs_and_ended_records_neither_repeat_nor_hide_a_job(
    ledger: Ledger, redis: Redis, history: History
) -> None:
    jobs = await submit(ledger, 9)
    first = await history.page("ann", 3)
    assert ids(first) == jobs[:3]
    await submit(ledger, 5)
    await record_ends(redis, jobs[0], ledger)
    await record_ends(redis, jobs[2], ledger)  # the last of the page
    await record_ends(redis, jobs[4], ledger)
    await ledger.erase(jobs[5])
    second = await history.page("ann", 3, first.before)
    assert ids(second) == [jobs[3], jobs[6], jobs[7]]
    third = await history.page("ann", 3, second.before)
    assert third == Page((await ledger.job(jobs[8]),), None)


async def test_an_erased_job_is_listed_no_more(ledger: Ledger, history: History) -> None:
    jobs = await submit(ledger, 3)
    await ledger.erase(jobs[1])
    assert ids(await history.page("ann", 20)) == [jobs[0], jobs[2]]


async def test_only_what_is_wanted_is_listed_however_far_back(
    ledger: Ledger, queue: Queue, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "AT_ONCE", 3)
    jobs = await submit(ledger, 10)
    for _ in range(2):
        await queue.fail(await claim_one(queue, "w1", "text"), "w1", FAILURE)

    def failed(job: Job) -> bool:
        return job.status is JobStatus.FAILED

    assert ids(await history.page("ann", 20, wanted=failed)) == jobs[-2:]
    first = await history.page("ann", 1, wanted=failed)
    assert ids(first) == [jobs[-2]]
    assert ids(await history.page("ann", 1, first.before, failed)) == [jobs[-1]]


async def test_a_page_looks_at_so_many_and_tells_where_to_go_on(
    ledger: Ledger, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "AT_ONCE", 2)
    monkeypatch.setattr(history_module, "MOST_LOOKED_AT", 4)
    jobs = await submit(ledger, 11)
    looked_at: list[str] = []

    def is_the_last(job: Job) -> bool:
        looked_at.append(job.id)
        return job.id == jobs[-1]

    pages = [await history.page("ann", 2, wanted=is_the_last)]
    for _ in range(2):
        pages.append(await history.page("ann", 2, pages[-1].before, is_the_last))
    assert [page.before is None for page in pages] == [False, False, True]
    assert [ids(page) for page in pages] == [[], [], [jobs[-1]]]
    assert looked_at == jobs


async def test_many_that_are_not_wanted_are_read_together(
    ledger: Ledger, redis: Redis, history: History
) -> None:
    await submit(ledger, 150)
    await redis.config_resetstat()
    assert await history.page("ann", 1, wanted=lambda job: False) == Page((), None)
    done: Any = await redis.info("commandstats")
    assert done["cmdstat_zrevrangebyscore"]["calls"] == 3


async def test_an_unreadable_record_hides_no_other(
    ledger: Ledger, redis: Redis, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    """As another version of imagen may have written it."""
    jobs = await submit(ledger, 3)
    await redis.hset(keys.job(jobs[1]), "parameters", '{"prompt": "a cat"}')
    with caplog.at_level(logging.WARNING):
        assert ids(await history.page("ann", 20)) == [jobs[0], jobs[2]]
    assert jobs[1] in caplog.text
    assert "a cat" not in caplog.text


async def test_the_list_goes_with_the_last_of_its_records(
    ledger: Ledger, queue: Queue, redis: Redis, queue_settings: QueueSettings
) -> None:
    await submit(ledger, 2)
    assert await redis.ttl(keys.jobs("ann")) == -1
    await encode(queue)
    await draw(queue)
    assert await redis.ttl(keys.jobs("ann")) == -1
    await queue.fail(await claim_one(queue, "w1", "text"), "w1", FAILURE)
    assert 0 < await redis.ttl(keys.jobs("ann")) <= queue_settings.retention_s
    await submit(ledger)
    assert await redis.ttl(keys.jobs("ann")) == -1


async def test_the_list_does_not_grow_with_jobs_whose_records_have_ended(
    ledger: Ledger, redis: Redis
) -> None:
    """Though the oldest are jobs that never end."""
    stay = await submit(ledger, 3)
    for _ in range(300):
        (job_id,) = await submit(ledger)
        await record_ends(redis, job_id, ledger)
    listed: Any = await redis.zrange(keys.jobs("ann"), 0, -1)
    assert {job_id.decode() for job_id in listed} >= set(stay)
    assert len(listed) < 50


async def test_a_job_whose_record_is_gone_is_looked_at_once(
    ledger: Ledger, redis: Redis, history: History
) -> None:
    gone, left = await submit(ledger, 2)
    await record_ends(redis, gone, ledger)
    assert ids(await history.page("ann", 20)) == [left]
    assert await redis.zrange(keys.jobs("ann"), 0, -1) == [left.encode()]


async def test_a_job_that_is_submitted_again_is_listed_once(
    ledger: Ledger, history: History
) -> None:
    job: NewJob = a_job(owner="ann")
    for _ in range(2):
        await ledger.submit(job)
    assert ids(await history.page("ann", 20)) == [job.id]
