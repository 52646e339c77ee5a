"""Tells how far images are, and shows what they look like to those who watch.

No one waits for a report: what cannot be told now is told by the next.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from workers.jobs.errors import QueueUnavailable
from workers.jobs.queue import Queue, Reached
from workers.patience import Patience

PAUSE_S = 0.25
"""Between two reports of progress at one stage."""


@runtime_checkable
class Shows(Protocol):
    """A lane whose work can be watched. All of it in the event loop."""

    def progress(self) -> Sequence[Reached]:
        """How far the tasks in it are."""
        ...

    def watch(self, keys: Iterable[str], of: Iterable[Reached]) -> None:
        """From now on show these tasks, and no others of those; who is not among them stays so."""
        ...

    def take_previews(self) -> list[tuple[Reached, bytes]]:
        """What those looked like that were shown since the last call, as PNG."""
        ...


class Reporter:
    """One per worker."""

    def __init__(self, lanes: Iterable[object], queue: Queue, patience: Patience) -> None:
        """lanes: of which those are told that can be."""
        self._told_at_s = {lane: float("-inf") for lane in lanes if isinstance(lane, Shows)}
        self._queue = queue
        self._patience = patience
        self._attention = asyncio.Event()

    def wake(self) -> None:
        """A step was taken, or the worker stops."""
        self._attention.set()

    async def report(self) -> None:
        """After steps, until stopped."""
        while not self._patience.is_over:
            await self._attention.wait()
            self._attention.clear()
            with suppress(QueueUnavailable):  # which claims and commits wait for, and say so
                for lane in self._told_at_s:
                    await self._show(lane)
                    await self._tell(lane)

    async def _show(self, lane: Shows) -> None:
        for reached, png in lane.take_previews():
            await self._queue.preview(reached, png)

    async def _tell(self, lane: Shows) -> None:
        now_s = asyncio.get_running_loop().time()
        reached = lane.progress()
        if reached and now_s - self._told_at_s[lane] >= PAUSE_S:
            self._told_at_s[lane] = now_s
            lane.watch(await self._queue.progress(reached), reached)
