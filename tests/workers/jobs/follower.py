"""Who follows a job: remembers the last event's id, and may lose the connection and come back."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any, TypeGuard

from redis.asyncio import Redis

from tests.workers.jobs.conftest import a_job
from workers.jobs import keys
from workers.jobs.events import Event, EventKind, ImageDone, JobEvents, JobStands, Previewed
from workers.jobs.job import NewJob
from workers.jobs.ledger import Ledger

PATIENCE_S = 20
"""Longer than any event that is sure to come takes."""

PNG = b"\x89PNG\r\n\x1a\n\x00 and so on"


class Follower:
    """One client. `seen` are all events that it was told, whatever the connection."""

    def __init__(self, job_id: str, last_id: str | None = None) -> None:
        self.seen: list[Event] = []
        self.last_id = last_id
        self._job_id = job_id
        self._stream: AsyncGenerator[Event] | None = None

    async def connect(self, events: JobEvents) -> None:
        """Comes, or comes back where it was.

        Raises: NothingMore, JobNotFound, QueueUnavailable.
        """
        self._stream = events.follow(await events.look(self._job_id, self.last_id))

    async def disconnect(self) -> None:
        assert self._stream is not None
        await self._stream.aclose()
        self._stream = None

    async def next(self) -> Event:
        """Waits for the next event.

        Raises: StopAsyncIteration where nothing follows; what the stream raises.
        """
        assert self._stream is not None
        async with asyncio.timeout(PATIENCE_S):
            event = await anext(self._stream)
        self.seen.append(event)
        self.last_id = event.id or self.last_id
        return event

    async def take(self, most: int = sys.maxsize) -> list[str]:
        """What kinds the next events are, as far as any follow."""
        kinds: list[str] = []
        while len(kinds) < most:
            try:
                kinds.append(kind_of(await self.next()))
            except StopAsyncIteration:
                break
        return kinds

    async def catch_up(self, events: JobEvents, redis: Redis) -> None:
        """Comes back, takes what has happened so far, and goes.

        Raises: NothingMore, JobNotFound.
        """
        await self.connect(events)
        newest: Any = await redis.xrevrange(keys.events(self._job_id), count=1)
        kinds: list[str] = []
        while kinds[-1:] != [EventKind.END]:  # which comes where none are kept
            if newest and self.last_id == newest[0][0].decode():
                break
            kinds += await self.take(1)
        await self.disconnect()

    @property
    def ids(self) -> list[str]:
        """Of the events that have one."""
        return [event.id for event in self.seen if event.id is not None]

    @property
    def images(self) -> list[int]:
        """The indices of the images that it was told are done."""
        return [event.image.index for event in self.seen if isinstance(event, ImageDone)]

    @property
    def ends(self) -> list[JobStands]:
        return [event for event in self.seen if is_end(event)]


def kind_of(event: Event) -> str:
    match event:
        case JobStands(_, kind, _):
            return kind
        case ImageDone():
            return EventKind.IMAGE
        case Previewed():
            return EventKind.PREVIEW
        case _:
            return EventKind.PROGRESS


def is_end(event: Event) -> TypeGuard[JobStands]:
    return isinstance(event, JobStands) and event.kind is EventKind.END


async def submit(ledger: Ledger, n: int = 1) -> NewJob:
    job = a_job(n=n, owner="ann")
    await ledger.submit(job)
    return job


async def forget_events(redis: Redis, job: NewJob) -> None:
    """As if no one had followed for a long time."""
    assert await redis.delete(keys.events(job.id))
