"""Waits for jobs to end, without polling."""

import asyncio

from workers.jobs.bells import Bells
from workers.jobs.job import Job
from workers.jobs.ledger import Ledger


class JobWatcher:
    """Lets requests wait for a job. bells: to be rung for keys.ended()."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.bells = Bells()

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """The job when it has ended, or as it stands after `timeout_s`.

        Raises: JobNotFound, QueueUnavailable.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        with self.bells.of(job_id) as bell:
            in_time = True
            # Listen first, look second: an end between the two is not missed.
            while not (job := await self._ledger.job(job_id)).status.terminal and in_time:
                in_time = await bell.rings_before(deadline_s)
            return job
