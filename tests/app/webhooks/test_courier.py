"""Webhooks from a job's end to its owner's server and back, over real HTTP and a real queue."""

import asyncio
import json
import logging
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis
from standardwebhooks import Webhook

from app.answers import JobAnswer
from app.links import Links
from app.processes.embedded_queue import EmbeddedQueue
from app.webhooks import courier as courier_module
from app.webhooks.courier import Outcome
from app.webhooks.signature import owner_secret
from tests.app.webhooks.conftest import (
    BASE,
    EndAJob,
    a_courier,
    cancel_a_job,
    is_retried,
    make_due,
    next_due_s,
)
from tests.app.webhooks.target import BROKEN, GONE, OK, Answer, Told, listening, silent
from workers.jobs import keys
from workers.jobs.connect import connect
from workers.jobs.ledger import Ledger
from workers.jobs.outbox import LEASE_S, PAUSES_S, Outbox
from workers.jobs.settings import QueueSettings


def bodies_of(told: Sequence[Told]) -> set[str]:
    return {json.loads(each.body)["data"]["id"] for each in told}


async def test_an_ended_job_is_told_signed(outbox: Outbox, end_a_job: EndAJob) -> None:
    async with listening(OK) as target:
        job = await end_a_job(target.url("/hook?a=b"))
        async with a_courier(outbox):
            told = await target.next()
    assert told.line == "POST /hook?a=b HTTP/1.1"
    assert told.headers["content-type"] == "application/json"
    assert told.headers["webhook-id"] == f"msg_{job.id}"

    secret = str(owner_secret(await outbox.service_secret(), "ada"))
    event = Webhook(secret).verify(told.body, dict(told.headers))
    answer = json.loads(JobAnswer.of(job, Links(BASE)).model_dump_json())
    assert event == {
        "type": "job.canceled",
        "timestamp": answer["finished_at"],
        "data": answer,
    }
    assert event["data"]["urls"]["self"] == f"{BASE}/jobs/{job.id}"
    assert await outbox.next_due_s() is None


async def hang_up(_: StreamReader, writer: StreamWriter) -> None:
    writer.close()


async def test_it_is_told_again_until_its_owner_says_that_it_knows(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis
) -> None:
    elsewhere = b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n"
    failures: list[Answer] = [BROKEN, elsewhere, hang_up]
    told: list[Told] = []
    async with listening(*failures, OK) as target:
        job = await end_a_job(target.url())
        for attempt in range(1, len(failures) + 1):
            async with a_courier(outbox):
                told.append(await target.next())
            assert await is_retried(outbox, attempt)
            await make_due(redis, job)
        async with a_courier(outbox):
            told.append(await target.next())
    assert {each.headers["webhook-id"] for each in told} == {f"msg_{job.id}"}
    assert len({each.body for each in told}) == 1
    assert await outbox.next_due_s() is None


async def test_gone_is_taken_for_no(outbox: Outbox, end_a_job: EndAJob) -> None:
    async with listening(GONE) as target:
        await end_a_job(target.url())
        async with a_courier(outbox):
            await target.next()
    assert await outbox.next_due_s() is None


async def test_whoever_counts_is_told_what_came_of_each(outbox: Outbox, end_a_job: EndAJob) -> None:
    outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
    async with (
        listening(OK, GONE, BROKEN, hang_up) as target,
        a_courier(outbox, count=outcomes.put_nowait),
        asyncio.timeout(20),
    ):
        for outcome in ("delivered", "unwanted", "refused", "failed"):
            await end_a_job(target.url())
            assert await outcomes.get() == outcome


async def test_after_the_last_attempt_it_is_given_up(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(BROKEN) as target:
        job = await end_a_job(target.url())
        await redis.hset(keys.job(job.id), "webhook_attempts", len(PAUSES_S))
        async with a_courier(outbox):
            await target.next()
    assert await outbox.next_due_s() is None
    assert f"{job.id}: given up after {len(PAUSES_S) + 1} attempts" in caplog.text


async def drip(_: StreamReader, writer: StreamWriter) -> None:
    """A header that goes on, a little at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [silent, drip])
async def test_a_slow_target_is_cut_off(outbox: Outbox, end_a_job: EndAJob, answer: Answer) -> None:
    async with listening(answer) as target:
        await end_a_job(target.url())
        async with a_courier(outbox, attempt_s=0.8):
            await target.next()
            await target.all_closed()
        assert await is_retried(outbox, attempt=1)


async def test_what_a_dead_process_has_claimed_is_delivered_by_another(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis
) -> None:
    async with listening(OK) as target:
        job = await end_a_job(target.url())
        (dead,) = await outbox.claim(1)
        assert LEASE_S - 5 < await next_due_s(outbox) <= LEASE_S
        await make_due(redis, job)
        async with a_courier(outbox):
            await target.next()
    assert not await outbox.end(dead)
    assert await outbox.next_due_s() is None


async def test_of_two_couriers_each_job_is_told_once(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis, queue_settings: QueueSettings
) -> None:
    jobs = 40
    async with listening(OK) as target:
        ids = {(await end_a_job(target.url())).id for _ in range(jobs)}
        async with a_courier(outbox), a_courier(Outbox(redis, queue_settings)):
            told = [await target.next() for _ in range(jobs)]
    assert bodies_of(told) == ids
    assert target.count == jobs
    assert await outbox.next_due_s() is None


async def test_no_more_than_some_are_told_at_once(
    outbox: Outbox, end_a_job: EndAJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 8
    monkeypatch.setattr(courier_module, "MOST_AT_ONCE", most)
    here = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def wait(_: StreamReader, writer: StreamWriter) -> None:
        here.release()
        await go_on.wait()
        writer.write(OK)

    async with listening(wait) as target:
        for _ in range(most + 3):
            await end_a_job(target.url())
        async with a_courier(outbox) as courier:
            for _ in range(most):
                await here.acquire()
            courier.wake()
            assert await outbox.next_due_s() is not None
            assert (await next_due_s(outbox)) <= 0  # the others are left to whoever has room
            assert target.count == most
            go_on.set()
            for _ in range(3):
                await here.acquire()
    assert target.count == most + 3
    assert await outbox.next_due_s() is None


async def test_an_owner_whose_targets_are_silent_holds_up_no_other(
    outbox: Outbox, end_a_job: EndAJob
) -> None:
    go_on = asyncio.Event()

    async def wait(_: StreamReader, writer: StreamWriter) -> None:
        await go_on.wait()
        writer.write(OK)

    async with listening(wait) as silent, listening(OK) as quick:
        for _ in range(courier_module.MOST_AT_ONCE + 3):
            await end_a_job(silent.url())
        await end_a_job(quick.url(), owner="bob")
        async with a_courier(outbox):
            await quick.next()
            assert silent.count <= courier_module.MOST_OF_OWNER
            go_on.set()


async def test_a_courier_sleeps_until_it_is_woken_or_the_next_is_due(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "LONGEST_SLEEP_S", 600.0)
    async with listening(OK) as target, a_courier(outbox) as courier:
        await end_a_job(target.url())
        courier.wake()
        await target.next()

        job = await end_a_job(target.url())
        await redis.zadd(keys.webhooks(), {job.id: time.time() + 0.2})
        courier.wake()
        await target.next()


async def test_webhooks_wait_for_a_queue_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(courier_module, "LONGEST_SLEEP_S", 0.01)
    queue = EmbeddedQueue(tmp_path)
    queue.start()
    settings = QueueSettings(redis_url=queue.url, data_dir=tmp_path)
    try:
        async with connect(settings) as redis, listening(OK) as target:
            await cancel_a_job(Ledger(redis, settings), target.url())
            queue.stop()
            async with a_courier(Outbox(redis, settings)):
                while "webhooks wait: Redis cannot be reached" not in caplog.text:
                    await asyncio.sleep(0)
                queue.start()
                await target.next()
    finally:
        queue.stop()


async def test_a_record_of_another_version_is_left_to_others(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(OK) as target:
        other = await end_a_job(target.url())
        await redis.hset(keys.job(other.id), "parameters", "{}")
        job = await end_a_job(target.url())
        async with a_courier(outbox):
            assert bodies_of([await target.next()]) == {job.id}
    assert f"{other.id}: its record is of another version" in caplog.text
    assert LEASE_S - 5 < await next_due_s(outbox) <= LEASE_S


@pytest.mark.parametrize("answer", [OK, BROKEN, hang_up])
async def test_the_log_tells_who_was_asked_but_not_where_and_what(
    outbox: Outbox, end_a_job: EndAJob, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with listening(answer) as target:
        job = await end_a_job(target.url("/path-of-ada?token=secret"))
        async with a_courier(outbox):
            await target.next()
    assert f"webhook of job {job.id} to 127.0.0.1, attempt 1" in caplog.text
    for secret in ("path-of-ada", "token", job.parameters.prompt):
        assert secret not in caplog.text
