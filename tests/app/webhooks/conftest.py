"""What the tests of webhooks share: jobs that have ended, and an outbox that has theirs."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from app.webhooks.courier import Courier
from tests.workers.jobs.conftest import a_job
from workers.jobs import keys
from workers.jobs.job import Job, Webhook
from workers.jobs.ledger import Ledger
from workers.jobs.outbox import PAUSES_S, Outbox
from workers.jobs.settings import QueueSettings

BASE = "https://imagen.test"

EndAJob = Callable[..., Awaitable[Job]]


@pytest.fixture
def outbox(redis: Redis, queue_settings: QueueSettings) -> Outbox:
    return Outbox(redis, queue_settings)


@pytest.fixture
def end_a_job(redis: Redis, queue_settings: QueueSettings) -> EndAJob:
    """A job that has just ended, and whose webhook has this URL."""

    async def end(url: str, owner: str = "ada") -> Job:
        return await cancel_a_job(Ledger(redis, queue_settings), url, owner)

    return end


async def cancel_a_job(ledger: Ledger, url: str, owner: str = "ada") -> Job:
    job = a_job(owner=owner, webhook=Webhook(url=url, base=BASE))
    await ledger.submit(job)
    assert await ledger.cancel(job.id)
    return await ledger.job(job.id)


def a_courier(outbox: Outbox, **options: Any) -> Courier:
    return Courier(outbox, **{"allow_private": True, **options})


async def make_due(redis: Redis, job: Job) -> None:
    """As if its time had come."""
    await redis.zadd(keys.webhooks(), {job.id: 0}, xx=True)


async def next_due_s(outbox: Outbox) -> float:
    due_s = await outbox.next_due_s()
    assert due_s is not None
    return due_s


async def is_retried(outbox: Outbox, attempt: int) -> bool:
    """Whether the next attempt comes after the pause that follows this one."""
    pause_s = PAUSES_S[attempt - 1]
    return pause_s - 4 < await next_due_s(outbox) < pause_s * 1.3
