"""A job of one picture as OpenAI's server-sent events: what it looks like so far, then its end."""

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi.sse import format_sse_event

from app.openai.answers import CompletedEvent, ErrorEvent, PartialImageEvent
from app.openai.drawn import event_of, in_base64, size_of
from app.openai.errors import details_of, refusal_of
from app.openai.waiting import end_of
from app.services import Services
from workers.jobs.errors import (
    ImageNotFound,
    ImageStoreUnavailable,
    JobNotFound,
    QueueUnavailable,
)
from workers.jobs.events import Look, Previewed
from workers.jobs.job import ImageProgress, Job
from workers.jobs.log_fields import about

log = logging.getLogger(__name__)


class Pace:
    """Which previews of a job's one image are shown: a few, spread over the work."""

    def __init__(self, job: Job, most: int) -> None:
        self._job = job
        self._parts = most + 1
        self._part = 0

    def shows(self, image: ImageProgress) -> bool:
        """Whether it is the first in another of so many equal parts of the work."""
        done = self._job.model_copy(update={"progress": (image,)}).fraction_done
        part = min(int(done * self._parts), self._parts - 1)
        if part <= self._part:
            return False
        self._part = part
        return True


async def frames(
    services: Services, job: Job, look: Look | None, most: int
) -> AsyncGenerator[bytes]:
    """Up to `most` partial images, then the picture, or the error that there is instead.

    look: of who begins to follow the job; None where `most` is 0.
    """
    async with aclosing(_events(services, job, look, most)) as events:
        async for event in events:
            yield format_sse_event(event=event.type, data_str=event.model_dump_json())


async def _events(
    services: Services, job: Job, look: Look | None, most: int
) -> AsyncGenerator[PartialImageEvent | CompletedEvent | ErrorEvent]:
    try:
        if look is not None:
            async with aclosing(_partial_images(services, look, most)) as partial_images:
                async for image in partial_images:
                    yield image
        ended = await end_of(services.watcher, job.id)
        refusal = refusal_of(ended)
        if refusal is not None:
            yield ErrorEvent(error=refusal.details)
        else:
            yield await event_of(ended, services.images)
    except (ImageNotFound, ImageStoreUnavailable, JobNotFound, QueueUnavailable) as error:
        log.warning("the stream of job %s ends early: %s", job.id, error, extra=about(job))
        yield ErrorEvent(error=details_of(error))


async def _partial_images(
    services: Services, look: Look, most: int
) -> AsyncGenerator[PartialImageEvent]:
    pace, index = Pace(look.job, most), 0
    async with aclosing(services.events.follow(look)) as events:
        async for event in events:
            if isinstance(event, Previewed) and pace.shows(event.image):
                yield PartialImageEvent(
                    created_at=int(time.time()),
                    b64_json=in_base64(event.png),
                    size=size_of(look.job),
                    partial_image_index=index,
                )
                index += 1
            if index == most:
                return
