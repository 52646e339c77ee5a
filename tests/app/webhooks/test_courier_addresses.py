"""Which address of a host a webhook goes to, and that it goes nowhere else."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from tests.app.webhooks.conftest import (
    EndAJob,
    a_courier,
    is_retried,
    make_due,
    next_due_s,
)
from tests.app.webhooks.target import OK, listening
from workers.jobs.outbox import Outbox


async def courier_is_idle(outbox: Outbox) -> None:
    """What was due has been claimed; with the end of the courier it is settled."""
    async with asyncio.timeout(30):
        while await next_due_s(outbox) <= 0:
            await asyncio.sleep(0)


async def test_a_name_that_is_never_looked_up_is_given_up_in_time(
    outbox: Outbox, end_a_job: EndAJob
) -> None:
    asked = asyncio.Event()

    async def look_up(host: str, port: int) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    await end_a_job("http://hooks.test/")
    async with a_courier(outbox, attempt_s=0.3, look_up=look_up):
        await asked.wait()
    assert await is_retried(outbox, attempt=1)


async def test_private_addresses_are_refused(
    outbox: Outbox, end_a_job: EndAJob, caplog: pytest.LogCaptureFixture
) -> None:
    looked_up: list[str] = []

    async def look_up(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    async with listening(OK) as target:
        await end_a_job(target.url(host="hooks.test"))
        async with a_courier(outbox, allow_private=False, look_up=look_up):
            await courier_is_idle(outbox)
        assert target.count == 0
    assert looked_up == ["hooks.test"]
    assert await is_retried(outbox, attempt=1)
    assert "has the private address 127.0.0.1" in caplog.text


async def test_a_name_is_looked_up_once_and_never_again(outbox: Outbox, end_a_job: EndAJob) -> None:
    """Or else the second answer could be an address that the first one would not get past."""
    looked_up: list[str] = []

    async def look_up(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    async with listening(OK) as target:  # the system knows no hooks.test
        await end_a_job(target.url(host="hooks.test"))
        async with a_courier(outbox, look_up=look_up):
            assert (await target.next()).headers["host"] == f"hooks.test:{target.port}"
    assert looked_up == ["hooks.test"]


async def test_of_several_addresses_each_attempt_takes_the_next(
    outbox: Outbox, end_a_job: EndAJob, redis: Redis
) -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]  # no one listens at the first

    async with listening(OK) as target:
        job = await end_a_job(target.url(host="hooks.test"))
        async with a_courier(outbox, look_up=look_up):
            await courier_is_idle(outbox)
        assert target.count == 0
        await make_due(redis, job)
        async with a_courier(outbox, look_up=look_up):
            await target.next()
    assert await outbox.next_due_s() is None
