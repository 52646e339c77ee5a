"""The pictures of a job that has them, as an answer and as an event."""

import asyncio
import base64
from typing import Literal

from app.links import Links
from app.openai.answers import CompletedEvent, ImagesAnswer, Picture
from workers.jobs.image_store import ImageStore
from workers.jobs.job import ImageResult, Job


async def answer_of(
    job: Job, response_format: Literal["url", "b64_json"], images: ImageStore, links: Links
) -> ImagesAnswer:
    """Every picture of an ended job.

    Raises: ImageNotFound where one was deleted just now, ImageStoreUnavailable.
    """

    async def picture(image: ImageResult) -> Picture:
        if response_format == "url":
            return Picture(url=links.image(image), blocked_by=image.blocked_by)
        return Picture(b64_json=await _stored(images, image), blocked_by=image.blocked_by)

    data = [await picture(image) for image in job.images]
    return ImagesAnswer(created=_ended_at(job), data=data, size=size_of(job))


async def event_of(job: Job, images: ImageStore) -> CompletedEvent:
    """The one picture of an ended job.

    Raises: ImageNotFound where it was deleted just now, ImageStoreUnavailable.
    """
    (image,) = job.images
    return CompletedEvent(
        created_at=_ended_at(job), b64_json=await _stored(images, image), size=size_of(job)
    )


def size_of(job: Job) -> str:
    """Of its pictures, as OpenAI's write it."""
    return f"{job.parameters.width}x{job.parameters.height}"


def _ended_at(job: Job) -> int:
    """Unix seconds."""
    assert job.finished_at is not None
    return int(job.finished_at)


def in_base64(png: bytes) -> str:
    return base64.b64encode(png).decode()


async def _stored(images: ImageStore, image: ImageResult) -> str:
    return in_base64(await asyncio.to_thread(images.get, image.path))
