"""When requests are sent: as answers come (a closed loop), or whatever becomes of them (open)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from time import perf_counter

from benchmarks.load.bodies import Body

Ask = Callable[[Body, float], Awaitable[float]]
"""See Asker.ask."""


async def closed_loop(ask: Ask, bodies: Iterator[Body], clients: int) -> None:
    """So many clients, each of whom asks again when its job has ended, until nothing is left."""

    async def client() -> None:
        for body in bodies:
            pause_s = await ask(body, perf_counter())
            if pause_s:
                await asyncio.sleep(pause_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


async def open_loop(ask: Ask, bodies: Iterable[Body], moments: Iterable[float]) -> None:
    """Each request when its moment comes, however many are unanswered then.

    moments: rising, in s from now. A request is due at its moment also where this process is too
    busy to send it: what it waits for that is counted, so nothing slow can hide itself by keeping
    requests back (coordinated omission).
    """
    begun_s = perf_counter()
    async with asyncio.TaskGroup() as group:
        for at_s, body in zip(moments, bodies, strict=False):
            await asyncio.sleep(begun_s + at_s - perf_counter())
            group.create_task(_ask_once(ask, body, begun_s + at_s))


async def _ask_once(ask: Ask, body: Body, due_s: float) -> None:
    await ask(body, due_s)


def until(bodies: Iterator[Body], seconds: float) -> Iterator[Body]:
    """Those that are taken within so many seconds from the first."""
    end_s = perf_counter() + seconds
    for body in bodies:
        if perf_counter() >= end_s:
            return
        yield body
