"""What happens to jobs, told to those who follow them: nothing missed, nothing twice.

What happens to a job is kept in a stream as long as someone follows it, and FOLLOWED_S longer, so
that who loses the connection goes on from the last id, with any API. Who begins, or comes back
later, is told first how the job stands. Of previews the latest are kept.
"""

import json
from asyncio import get_running_loop
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.bells import Bells
from workers.jobs.connect import queue_errors
from workers.jobs.job import ImageProgress, ImageResult, Job
from workers.jobs.ledger import Ledger
from workers.jobs.record import read_fields, read_progress
from workers.jobs.scripts import source
from workers.jobs.settings import QueueSettings

FOLLOWED_S = 60
"""Events are kept for so long after a follower has looked."""

AT_ONCE = 100
"""Events are read in such parts, however many there are."""

LOOK_S = 15.0
"""Without news, a follower looks as often; of a queued job as often as LOOK_QUEUED_S."""

LOOK_QUEUED_S = 2.0


class EventKind(StrEnum):
    """What an event tells. The Lua transitions use the same words."""

    STATE = "state"
    PROGRESS = "progress"
    PREVIEW = "preview"
    IMAGE = "image"
    END = "end"


@dataclass(frozen=True)
class JobStands:
    """kind STATE or END: the job as it stands. id: None where it is only that others moved on."""

    id: str | None
    kind: EventKind
    job: Job


@dataclass(frozen=True)
class Progressed:
    """The images under way, by index."""

    id: str
    images: tuple[ImageProgress, ...]


@dataclass(frozen=True)
class Previewed:
    """What an image looks like so far. png: of PREVIEW_PX a side at most."""

    id: str
    image: ImageProgress
    png: bytes


@dataclass(frozen=True)
class ImageDone:
    """An image is finished."""

    id: str
    image: ImageResult


Event = JobStands | Progressed | Previewed | ImageDone

Fields = dict[bytes, bytes]


@dataclass(frozen=True)
class Look:
    """What a follower sees who looks: after is the id of the latest event that it knows then.

    is_news: whether it has to be told how the job stands, since events before `after` are gone.
    previews: whether it wants them.
    """

    job: Job
    after: str
    is_news: bool
    previews: bool


class NothingMore(Exception):
    """The job has ended, and the follower knows."""


class JobEvents:
    """One process's view of what happens to jobs. bells: to be rung for keys.happened()."""

    def __init__(self, redis: Redis, settings: QueueSettings, ledger: Ledger) -> None:
        self._redis = redis
        self._ledger = ledger
        self._follow = redis.register_script(source("follow", settings))
        self.bells = Bells()

    async def look(self, job_id: str, after: str | None = None, previews: bool = True) -> Look:
        """Begins to follow a job, or goes on after the event of this id; for `follow`.

        previews: whether they are wanted. Only then workers draw any.

        Raises: JobNotFound, QueueUnavailable; NothingMore where `after` is the job's end.
        """
        with queue_errors():
            row: Any = await self._follow([], [job_id, after or "", FOLLOWED_S, int(previews)])
        fields, tasks_before, latest, is_there = row
        job, latest = read_fields(job_id, fields, tasks_before), latest.decode()
        if job.status.terminal and after == latest:
            raise NothingMore
        if after is not None and is_there:
            return Look(job, after, is_news=False, previews=previews)
        return Look(job, latest, is_news=True, previews=previews)

    async def follow(self, look: Look) -> AsyncGenerator[Event]:
        """What happens to the job from then on, until its end, or until the bells are closed.

        Raises: JobNotFound, QueueUnavailable.
        """
        clock = get_running_loop().time
        job_id = look.job.id
        tasks_before: int | None = None
        with self.bells.of(job_id) as bell:
            while True:
                job, after = look.job, look.after
                if look.is_news:
                    yield JobStands(after, _kind_of(job), job)
                    if job.status.terminal:
                        return
                elif job.tasks_before not in (None, tasks_before):
                    yield JobStands(None, EventKind.STATE, job)
                tasks_before = job.tasks_before
                look_at_s = clock() + (LOOK_S if tasks_before is None else LOOK_QUEUED_S)
                while (rows := await self._since(job_id, after)) is not None:
                    for after, fields in rows:
                        event = await self._event(look, after, fields)
                        if event is not None:
                            yield event
                        if isinstance(event, JobStands) and event.kind is EventKind.END:
                            return
                    if clock() >= look_at_s or not (rows or await bell.rings_before(look_at_s)):
                        break
                if self.bells.is_closed:
                    return
                look = await self.look(job_id, after, look.previews)

    async def _since(self, job_id: str, after: str) -> list[tuple[str, Fields]] | None:
        """Some events by id. None where some may be gone: the stream is, or was cut there."""
        with queue_errors():
            rows: Any = await self._redis.xrange(keys.events(job_id), after, count=AT_ONCE + 1)
        found = [(event_id.decode(), fields) for event_id, fields in rows]
        return found[1:] if found and found[0][0] == after else None

    async def _event(self, look: Look, event_id: str, fields: Fields) -> Event | None:
        """None for a preview that is not wanted, or not kept any more."""
        kind, value = EventKind(fields[b"kind"].decode()), fields[b"value"]
        match kind:
            case EventKind.PROGRESS:
                images = tuple(read_progress(*image) for image in json.loads(value))
                return Progressed(event_id, images)
            case EventKind.PREVIEW:
                image = read_progress(*json.loads(value))
                png = look.previews and await self._preview(look.job.id, event_id)
                return Previewed(event_id, image, png) if png else None
            case EventKind.IMAGE:
                return ImageDone(event_id, ImageResult.model_validate_json(value))
            case _:
                return JobStands(event_id, kind, await self._ledger.job(look.job.id))

    async def _preview(self, job_id: str, event_id: str) -> bytes | None:
        with queue_errors():
            rows: Any = await self._redis.xrange(keys.previews(job_id), event_id, event_id)
        return rows[0][1][b"png"] if rows else None


def _kind_of(job: Job) -> EventKind:
    return EventKind.END if job.status.terminal else EventKind.STATE
