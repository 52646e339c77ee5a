"""Repeats what cannot be done while Redis is away."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from workers.jobs.errors import QueueUnavailable

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Patience:
    """Until the worker is told to stop."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        """Nothing is repeated any more."""
        self._over.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not through end()."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    async def __call__(
        self,
        operation: Callable[Arguments, Awaitable[Result]],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """Do it as soon as Redis is there; the queue's operations may be called again.

        Raises QueueUnavailable once patience is over.
        """
        pause_s = SHORTEST_PAUSE_S
        while True:
            try:
                return await operation(*arguments, **named)
            except QueueUnavailable as error:
                if self.is_over:
                    raise
                log.warning("waiting for the queue, next try in %.1f s: %s", pause_s, error)
                await self.pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
