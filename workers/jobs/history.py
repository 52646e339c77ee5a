"""What jobs an owner has: the newest first, page by page."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.errors import JobNotFound, OtherContract
from workers.jobs.job import Job
from workers.jobs.record import read_fields
from workers.jobs.scripts import Scripts
from workers.jobs.settings import QueueSettings

AT_ONCE = 100
"""Read together where those before were not wanted."""

MOST_LOOKED_AT = 500
"""For one page. A page may have fewer jobs than asked for, and others after it all the same."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """before: for the page that follows; None where there is none."""

    jobs: tuple[Job, ...]
    before: int | None


class History:
    """One process's view of the owners' jobs, as long as their records are kept."""

    def __init__(self, redis: Redis, settings: QueueSettings) -> None:
        self._redis = redis
        self._scripts = Scripts(redis, settings)

    async def page(
        self,
        owner: str,
        most: int,
        before: int | None = None,
        wanted: Callable[[Job], bool] = lambda _: True,
    ) -> Page:
        """Up to `most` of the owner's jobs that are wanted, accepted before (unix us) the page.

        Raises: QueueUnavailable.
        """
        found: list[Job] = []
        looked_at, at_once = 0, most
        while looked_at < MOST_LOOKED_AT:
            rows = await self._accepted_before(owner, before, at_once)
            jobs = await self._read(owner, [job_id for job_id, _ in rows])
            for (_, accepted_us), job in zip(rows, jobs, strict=True):
                before = accepted_us
                if job is not None and wanted(job):
                    found.append(job)
                if len(found) == most:
                    return Page(tuple(found), before)
            if len(rows) < at_once:
                return Page(tuple(found), None)
            looked_at, at_once = looked_at + len(rows), AT_ONCE
        return Page(tuple(found), before)

    async def _accepted_before(
        self, owner: str, before: int | None, most: int
    ) -> list[tuple[str, int]]:
        """Ids, each with when it was accepted, unix us."""
        newest = "+inf" if before is None else f"({before}"
        with queue_errors():
            rows: Any = await self._redis.zrevrangebyscore(
                keys.jobs(owner), newest, "-inf", start=0, num=most, withscores=True
            )
        return [(job_id.decode(), int(score)) for job_id, score in rows]

    async def _read(self, owner: str, job_ids: list[str]) -> list[Job | None]:
        """None for one whose record is gone, or is of another version."""
        with queue_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for job_id in job_ids:
                    await self._scripts.read([], [job_id], client=pipeline)
                rows: Any = await pipeline.execute()
        await self._forget(
            owner, [job_id for job_id, (fields, _) in zip(job_ids, rows, strict=True) if not fields]
        )
        return [_job_or_none(job_id, *row) for job_id, row in zip(job_ids, rows, strict=True)]

    async def _forget(self, owner: str, gone: list[str]) -> None:
        """So that no one looks at them again."""
        if gone:
            with queue_errors():
                await self._redis.zrem(keys.jobs(owner), *gone)


def _job_or_none(job_id: str, fields: list[bytes], tasks_before: int) -> Job | None:
    try:
        return read_fields(job_id, fields, tasks_before)
    except JobNotFound:
        return None
    except (KeyError, ValueError, OtherContract):
        log.warning("job %s: its record is of another version of imagen", job_id)
        return None
