"""Waits for jobs to end, without polling."""

import asyncio
from collections import defaultdict

from workers.jobs.job import Job
from workers.jobs.ledger import Ledger


class JobWatcher:
    """Wakes those who wait for a job; `ended` is its ear."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ended(self, job_id: str | None) -> None:
        """A Listener for keys.ended(). None: anyone's job may have ended, so everyone looks."""
        for each in list(self._waiters) if job_id is None else [job_id]:
            for woken in self._waiters.get(each, ()):
                woken.set()

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """The job when it has ended, or as it stands after `timeout_s`.

        Raises: JobNotFound, QueueUnavailable.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        woken = asyncio.Event()
        self._waiters[job_id].add(woken)
        try:
            in_time = True
            # Listen first, look second: an end between the two is not missed.
            while not (job := await self._ledger.job(job_id)).status.terminal and in_time:
                in_time = await _set_before(woken, deadline_s)
                woken.clear()
            return job
        finally:
            self._forget(job_id, woken)

    def waiting(self, job_id: str) -> int:
        """How many wait for this job."""
        return len(self._waiters.get(job_id, ()))

    def _forget(self, job_id: str, woken: asyncio.Event) -> None:
        self._waiters[job_id].discard(woken)
        if not self._waiters[job_id]:
            del self._waiters[job_id]


async def _set_before(event: asyncio.Event, deadline_s: float) -> bool:
    """Waits for the event; False where the loop's clock reaches the deadline first."""
    try:
        async with asyncio.timeout_at(deadline_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
