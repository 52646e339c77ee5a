"""Runs a coroutine beside a block of code, and is sure to end it."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def in_background(coroutine: Coroutine[None, None, None], name: str) -> AsyncGenerator[None]:
    """The coroutine runs until the block ends; it has to handle its own errors."""
    task = asyncio.create_task(coroutine, name=name)
    try:
        yield
    finally:
        await cancel([task])


async def cancel(tasks: Collection[asyncio.Task[object]]) -> None:
    """Returns when all have ended."""
    # Once is not enough: before Python 3.12, wait_for (redis-py sends through it) can lose a
    # cancellation.
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)
