"""Wakes those of a process who wait for news of a job."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """One who waits."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._closed = False

    def ring(self) -> None:
        self._rung.set()

    def close(self) -> None:
        self._closed = True
        self._rung.set()

    async def rings_before(self, deadline_s: float) -> bool:
        """Whether it has rung since it was last asked; waits until the loop's clock says so."""
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._rung.wait()
        except TimeoutError:
            return False
        if not self._closed:
            self._rung.clear()
        return not self._closed


class Bells:
    """Those who wait, by job; `ring` is their ear."""

    def __init__(self) -> None:
        self._bells: defaultdict[str, set[Bell]] = defaultdict(set)
        self.is_closed = False

    def close(self) -> None:
        """No one waits any more: bells have not rung, however long they would have waited."""
        self.is_closed = True
        for bells in self._bells.values():
            for bell in bells:
                bell.close()

    def ring(self, job_id: str | None) -> None:
        """A Listener. None: there may be news of any job, so everyone looks."""
        for each in list(self._bells) if job_id is None else [job_id]:
            for bell in self._bells.get(each, ()):
                bell.ring()

    @contextmanager
    def of(self, job_id: str) -> Iterator[Bell]:
        """A bell that rings for news of this job."""
        bell = Bell()
        if self.is_closed:
            bell.close()
        self._bells[job_id].add(bell)
        try:
            yield bell
        finally:
            self._bells[job_id].discard(bell)
            if not self._bells[job_id]:
                del self._bells[job_id]

    def waiting(self, job_id: str | None = None) -> int:
        """How many wait for news of this job; without one, of any."""
        jobs = list(self._bells) if job_id is None else [job_id]
        return sum(len(self._bells.get(each, ())) for each in jobs)
