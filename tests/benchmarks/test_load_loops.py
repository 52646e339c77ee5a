"""Clients who wait for answers, and requests that do not."""

import asyncio
import time
from collections.abc import Iterator
from itertools import islice, pairwise, repeat
from time import perf_counter
from typing import Any

import pytest
from fastapi import FastAPI

from benchmarks.load.asking import Asker, by_waiting
from benchmarks.load.bodies import Body, same
from benchmarks.load.connections import Connections
from benchmarks.load.loops import closed_loop, open_loop, until
from benchmarks.load.tally import Tally
from tests.benchmarks.listening import listening

DONE: dict[str, Any] = {
    "id": "1",
    "status": "succeeded",
    "images": [],
    "timings": [],
    "error": None,
}
BODY: Body = {"prompt": "a cat"}


def bodies(number: int) -> Iterator[Body]:
    return islice(same(BODY), number)


async def test_so_many_clients_ask_at_once_and_no_more() -> None:
    asked, most, in_flight = 0, 0, 0
    all_ask = asyncio.Barrier(3)

    async def ask(body: Body, due_s: float) -> float:
        nonlocal asked, most, in_flight
        asked, in_flight = asked + 1, in_flight + 1
        most = max(most, in_flight)
        await all_ask.wait()
        in_flight -= 1
        return 0.0

    async with asyncio.timeout(10):
        await closed_loop(ask, bodies(9), clients=3)
    assert (asked, most) == (9, 3)


async def test_a_client_asks_again_while_another_still_waits() -> None:
    one_waits, others_done = asyncio.Event(), asyncio.Event()
    asked = 0

    async def ask(body: Body, due_s: float) -> float:
        nonlocal asked
        asked += 1
        if asked == 1:
            one_waits.set()
            await others_done.wait()
        elif asked == 5:
            others_done.set()
        return 0.0

    async with asyncio.timeout(10):
        await closed_loop(ask, bodies(5), clients=2)
    assert asked == 5


async def test_a_client_that_met_an_error_waits_as_long_as_it_is_told() -> None:
    moments: list[float] = []

    async def ask(body: Body, due_s: float) -> float:
        moments.append(perf_counter())
        return 0.05

    await closed_loop(ask, bodies(2), clients=1)
    assert moments[1] - moments[0] >= 0.045


async def test_requests_come_when_they_are_due_though_none_is_answered() -> None:
    """A loop that waited for answers would never send the second, and this would not end."""
    number, gap_s = 20, 0.01
    came: list[float] = []
    all_there = asyncio.Event()
    app = FastAPI()

    @app.post("/generate")
    async def generate() -> dict[str, Any]:
        came.append(perf_counter())
        if len(came) == number:
            all_there.set()
        await all_there.wait()
        return DONE

    tally = Tally()
    moments = [gap_s * index for index in range(number)]
    async with asyncio.timeout(20), listening(app) as url, Connections(url) as connections:
        ask = Asker(connections, by_waiting(1.0), tally, give_up_s=20).ask
        begun_s = perf_counter()
        await open_loop(ask, repeat(BODY), moments)
    assert tally.succeeded == number
    # What they waited for, from when they were due, though it was for requests after them.
    waited = [came[-1] - begun_s - moment for moment in moments]
    whole = sorted(tally.seconds["whole"], reverse=True)
    assert all(took >= wait - 0.005 for took, wait in zip(whole, waited, strict=True))
    assert all(at >= begun_s + moment - 0.005 for at, moment in zip(came, moments, strict=True))


async def test_what_keeps_the_client_itself_from_asking_counts() -> None:
    """Else a slow answer could hide by keeping requests back: coordinated omission."""
    stall_s = 0.1

    def stalls() -> Iterator[Body]:
        for number in range(10):
            if number == 5:
                time.sleep(stall_s)
            yield BODY

    dues, sent = [], []

    async def ask(body: Body, due_s: float) -> float:
        dues.append(due_s)
        sent.append(perf_counter())
        return 0.0

    await open_loop(ask, stalls(), [0.001 * index for index in range(10)])
    gaps = [after - before for before, after in pairwise(dues)]
    assert gaps == [pytest.approx(0.001)] * 9, "the schedule is not put off"
    assert sent[5] - dues[5] >= stall_s - 0.01
    assert sent[9] - dues[9] >= stall_s - 0.02


def test_bodies_end_when_their_time_is_over() -> None:
    taken = until(same(BODY), seconds=0.05)
    assert next(taken) == BODY
    time.sleep(0.06)
    assert list(taken) == []
