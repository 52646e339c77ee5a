"""Jobs whose clients wait for them: as long as they do, and no longer."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, Request

from app.dependencies import ServicesNow
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import Job
from workers.jobs.ledger import Ledger
from workers.jobs.watcher import JobWatcher

LOOK_S = 60.0
"""The end of a job is told; should that be missed, it is seen so soon."""

log = logging.getLogger(__name__)


async def _attended(services: ServicesNow) -> AsyncGenerator[set[str]]:
    """Ids of jobs that are canceled, where they have not ended, when the request is over."""
    job_ids: set[str] = set()
    try:
        yield job_ids
    finally:
        for job_id in job_ids:
            # Goes on where the request itself is canceled, too.
            await asyncio.shield(_cancel(services.ledger, job_id))


Attended = Annotated[set[str], Depends(_attended)]


async def end_of(watcher: JobWatcher, job_id: str) -> Job:
    """The job when it has ended; as it stands where the service stops before.

    Raises: JobNotFound, QueueUnavailable.
    """
    while True:
        job = await watcher.wait(job_id, LOOK_S)
        if job.status.terminal or watcher.bells.is_closed:
            return job


async def end_unless_gone(request: Request, watcher: JobWatcher, job_id: str) -> Job | None:
    """The same; None where the client, whose body has been read, goes away before.

    Raises: JobNotFound, QueueUnavailable.
    """
    ending = asyncio.create_task(end_of(watcher, job_id))
    leaving = asyncio.create_task(_leaves(request))
    try:
        await asyncio.wait((ending, leaving), return_when=asyncio.FIRST_COMPLETED)
        return ending.result() if ending.done() else None
    finally:
        ending.cancel()
        leaving.cancel()
        await asyncio.gather(ending, leaving, return_exceptions=True)


async def _leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancel(ledger: Ledger, job_id: str) -> None:
    with suppress(QueueUnavailable):  # it has a deadline
        if await ledger.cancel(job_id):
            log.info("no one waits for job %s any more", job_id, extra={"job": job_id})
