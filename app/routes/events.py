"""GET /jobs/{id}/events: what happens to a job, as it happens, as server-sent events."""

import base64
import logging
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.answers import ImageAnswer, ImageInProgress, JobAnswer, Preview
from app.dependencies import LinksHere, OwnJob, ServicesNow
from app.links import Links
from app.openapi import problems
from workers.jobs.errors import JobNotFound, QueueUnavailable
from workers.jobs.events import Event, ImageDone, JobStands, Look, Previewed, Progressed

log = logging.getLogger(__name__)

LastEventId = Annotated[
    str | None,
    Header(
        pattern=r"^\d{1,15}-\d{1,15}$",
        description="The id of the last event that the client has: those after it follow.",
    ),
]
Previews = Annotated[
    bool, Query(description="Whether to show what the pictures look like while they are drawn.")
]

router = APIRouter(tags=["jobs"])


async def _look(
    job: OwnJob, services: ServicesNow, last_event_id: LastEventId = None
) -> Look:
    return await services.events.look(job.id, last_event_id)


@router.get(
    "/jobs/{job_id}/events",
    summary="What happens to a job, as it happens",
    response_class=EventSourceResponse,
    responses={
        204: {"description": "The job has ended, and the client knows: it need not come back."},
        **problems(404, 422, 503),
    },
)
async def read_events(
    look: Annotated[Look, Depends(_look)],
    services: ServicesNow,
    links: LinksHere,
    previews: Previews = True,
) -> AsyncGenerator[ServerSentEvent]:
    """Server-sent events until the job's end. Data is JSON.

    - `state`: the job, when this begins and when its status changes; without an id where only its
      place in the queue has changed
    - `progress`: the pictures under way, at most four times a second
    - `preview`: what a picture looks like so far, as a data URL
    - `image`: a finished picture
    - `end`: the job, which has ended; nothing follows

    Events have ids. A client that has lost the connection sends the last one as `Last-Event-ID`,
    as browsers do, and misses nothing for a minute; after that it is told first how the job stands.
    A comment comes every 15 s where nothing else does.
    """
    try:
        async for event in services.events.follow(look):
            if previews or not isinstance(event, Previewed):
                yield _told(event, links)
    except (JobNotFound, QueueUnavailable) as error:  # the client comes back, and is told then
        log.warning("events of job %s end early: %s", look.job.id, error)


def _told(event: Event, links: Links) -> ServerSentEvent:
    match event:
        case JobStands(event_id, kind, job):
            return ServerSentEvent(id=event_id, event=kind, data=JobAnswer.of(job, links))
        case Progressed(event_id, images):
            under_way = [ImageInProgress.of(image) for image in images]
            return ServerSentEvent(id=event_id, event="progress", data=under_way)
        case Previewed(event_id, image, png):
            url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            shown = Preview(**image.model_dump(), url=url)
            return ServerSentEvent(id=event_id, event="preview", data=shown)
        case ImageDone(event_id, image):
            return ServerSentEvent(id=event_id, event="image", data=ImageAnswer.of(image, links))
