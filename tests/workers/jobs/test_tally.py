"""The life of a job in the log, told by whoever ended it, with what one searches for."""

import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    FAILURE,
    a_job,
    alive_since_long,
    claim_one,
    draw,
    encode,
    past_its_deadline,
)
from workers.jobs.job import NewJob
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def told_of(job: NewJob, caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines about a job, as fields, in order."""
    lines = (vars(record) for record in caplog.records)
    return [line for line in lines if line.get("job") == job.id]


async def test_a_job_is_told_of_when_it_comes_and_when_it_ends(
    ledger: Ledger, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    job = a_job(n=2).model_copy(update={"traceparent": TRACEPARENT})
    await ledger.submit(job)
    await encode(queue)
    await draw(queue)
    (accepted,) = told_of(job, caplog)
    assert accepted["status"] == "queued"
    assert (accepted["priority"], accepted["images"]) == ("normal", 2)
    await draw(queue)
    _, ended = told_of(job, caplog)
    assert ended["message"].startswith(f"job {job.id} succeeded after ")
    assert 0 < ended["seconds"] < 60
    about = [ended[name] for name in ("status", "stage", "image", "worker")]
    assert about == ["succeeded", "128", "1", "w1"]
    assert accepted["trace"] == ended["trace"] == "0af7651916cd43dd8448eb211c80319c"


async def test_a_failure_is_told_with_its_code(
    ledger: Ledger, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    job = a_job(n=2)
    await ledger.submit(job)
    await encode(queue)
    await queue.fail(await claim_one(queue, "w1", "32"), "w1", FAILURE)
    await draw(queue)
    _, failed, ended = told_of(job, caplog)
    assert (failed["levelname"], failed["code"], failed["stage"]) == ("WARNING", "test", "32")
    assert failed["status"] == "running"
    assert ended["status"] == "failed"


async def test_what_clients_end_is_told(
    ledger: Ledger, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    canceled, expired, erased = a_job(), a_job(deadline_s=9.0), a_job()
    for job in (canceled, expired, erased):
        await ledger.submit(job)
    assert await ledger.cancel(canceled.id)
    assert not await ledger.cancel(canceled.id)
    await past_its_deadline(redis, expired)
    await ledger.expire()
    await ledger.erase(erased.id)
    assert [line.get("status") for line in told_of(canceled, caplog)] == ["queued", "canceled"]
    assert [line.get("status") for line in told_of(expired, caplog)] == ["queued", "expired"]
    assert told_of(erased, caplog)[-1]["message"] == f"job {erased.id} deleted"


async def test_a_job_that_expires_when_it_is_claimed_is_told(
    ledger: Ledger, queue: Queue, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    job = a_job(deadline_s=9.0)
    await ledger.submit(job)
    await past_its_deadline(redis, job)
    assert await queue.claim("w1", "text", count=1) == []
    assert told_of(job, caplog)[-1]["status"] == "expired"


async def test_what_workers_die_with_is_told(
    ledger: Ledger, redis: Redis, queue_settings: QueueSettings, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue(redis, queue_settings.model_copy(update={"max_deliveries": 2}))
    job = a_job()
    await ledger.submit(job)
    await alive_since_long(redis, "w9")
    for worker in ("w1", "w2"):  # which have no heartbeat
        await claim_one(queue, worker, "text")
        await queue.reclaim("w9", "text")
    (ready_again,) = [each for each in caplog.messages if "dead workers" in each]
    assert ready_again == "stage text: 1 tasks of dead workers are ready again"
    _, given_up = told_of(job, caplog)
    told = [given_up[name] for name in ("code", "stage", "status")]
    assert told == ["gave_up", "text", "failed"]
