"""Repeats what cannot be done while something is away."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from workers.jobs.errors import ImageStoreUnavailable, QueueUnavailable

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
STORE_PATIENCE_S = 30.0
"""A full disk is waited for so long; then whoever asked is told."""

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
        """Do it as soon as Redis and the image store are there; it must bear being called again.

        Raises QueueUnavailable and ImageStoreUnavailable once patience is over, and the latter
        after STORE_PATIENCE_S.
        """
        clock = asyncio.get_running_loop().time
        store_until_s = clock() + STORE_PATIENCE_S
        pause_s = SHORTEST_PAUSE_S
        while True:
            try:
                return await operation(*arguments, **named)
            except (QueueUnavailable, ImageStoreUnavailable) as error:
                is_store = isinstance(error, ImageStoreUnavailable)
                if self.is_over or (is_store and clock() > store_until_s):
                    raise
                away = "image store" if is_store else "queue"
                log.warning("waiting for the %s, next try in %.1f s: %s", away, pause_s, error)
                await self.pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
