"""GET /jobs/{id}/events: what happens to a job, as it happens, as server-sent events."""

import base64
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.sse import format_sse_event
from pydantic import TypeAdapter

from app.answers import ImageAnswer, ImageInProgress, JobAnswer, Preview
from app.dependencies import LinksHere, OwnJob, ServicesNow
from app.links import Links
from app.openapi import REFERENCE, headers, problems
from app.sse import MEDIA_TYPE, EventStream
from workers.jobs.errors import JobNotFound, QueueUnavailable
from workers.jobs.events import Event, EventKind, ImageDone, JobStands, Previewed, Progressed

EVENT_ID = r"^[0-9]{1,15}-[0-9]{1,15}$"

IMAGES_IN_PROGRESS = TypeAdapter(list[ImageInProgress])

log = logging.getLogger(__name__)

LastEventId = Annotated[
    str | None,
    Header(
        pattern=EVENT_ID,
        description="The id of the last event that the client has: those after it follow.",
    ),
]
Previews = Annotated[
    bool, Query(description="Whether to show what the pictures look like while they are drawn.")
]

EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"enum": list(EventKind)},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": REFERENCE.format(model="JobAnswer")},
                    {"type": "array", "items": {"$ref": REFERENCE.format(model="ImageInProgress")}},
                    Preview.model_json_schema(),
                    {"$ref": REFERENCE.format(model="ImageAnswer")},
                ]
            },
        },
        "id": {"type": "string", "pattern": EVENT_ID},
    },
    "required": ["event", "data"],
}
"""One of the stream, for the OpenAPI document."""

router = APIRouter(tags=["jobs"])


@router.get(
    "/jobs/{job_id}/events",
    summary="What happens to a job, as it happens",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "headers": headers("Cache-Control", "X-Accel-Buffering"),
            "content": {MEDIA_TYPE: {"itemSchema": EVENT}},
        },
        204: {"description": "The job has ended, and the client knows: it need not come back."},
        **problems(404, 422, 503),
    },
)
async def read_events(
    job: OwnJob,
    services: ServicesNow,
    links: LinksHere,
    last_event_id: LastEventId = None,
    previews: Previews = True,
) -> EventStream:
    """Server-sent events until the job's end. Data is JSON.

    - `state`: the job, when this begins and when its status changes; without an id where only its
      place in the queue has changed
    - `progress`: the pictures under way, at most four times a second
    - `preview`: what a picture looks like so far, as a data URL; drawn for who wants them
    - `image`: a finished picture
    - `end`: the job, which has ended; nothing follows

    Events have ids. A client that has lost the connection sends the last one as `Last-Event-ID`,
    as browsers do, and misses nothing for a minute, but the older previews; after
    that it is told first how the job stands.
    A comment comes every 15 s where nothing else does.
    """
    look = await services.events.look(job.id, last_event_id or None, previews)
    return EventStream(_told(services.events.follow(look), job.id, links))


async def _told(events: AsyncGenerator[Event], job_id: str, links: Links) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(events):
            async for event in events:
                yield _framed(event, links)
    except (JobNotFound, QueueUnavailable) as error:  # the client comes back, and is told then
        log.warning("events of job %s end early: %s", job_id, error, extra={"job": job_id})


def _framed(event: Event, links: Links) -> bytes:
    match event:
        case JobStands(event_id, kind, job):
            data = JobAnswer.of(job, links).model_dump_json()
            return format_sse_event(id=event_id, event=kind, data_str=data)
        case Progressed(event_id, images):
            under_way = [ImageInProgress.of(image) for image in images]
            data = IMAGES_IN_PROGRESS.dump_json(under_way).decode()
            return format_sse_event(id=event_id, event=EventKind.PROGRESS, data_str=data)
        case Previewed(event_id, image, png):
            url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            data = Preview(**image.model_dump(), url=url).model_dump_json()
            return format_sse_event(id=event_id, event=EventKind.PREVIEW, data_str=data)
        case ImageDone(event_id, image):
            data = ImageAnswer.of(image, links).model_dump_json()
            return format_sse_event(id=event_id, event=EventKind.IMAGE, data_str=data)
