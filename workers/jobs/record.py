"""How a job lies in its Redis hash. The Lua transitions write the same field names."""

from collections.abc import Mapping
from typing import TypeVar

from workers.jobs.job import (
    ImageResult,
    Job,
    JobError,
    JobParameters,
    JobStatus,
    Priority,
    Record,
    Webhook,
)

IMAGE_FIELD = "image:"

Part = TypeVar("Part", bound=Record)


def image_field(index: int) -> str:
    """The hash field of one finished image."""
    return f"{IMAGE_FIELD}{index}"


def read_job(job_id: str, record: Mapping[bytes, bytes]) -> Job:
    """The job that a hash holds."""
    fields = {name.decode(): value for name, value in record.items()}
    images = (
        ImageResult.model_validate_json(value)
        for name, value in fields.items()
        if name.startswith(IMAGE_FIELD)
    )
    return Job(
        id=job_id,
        owner=fields["owner"].decode(),
        priority=Priority(fields["priority"].decode()),
        status=JobStatus(fields["status"].decode()),
        parameters=JobParameters.model_validate_json(fields["parameters"]),
        images=tuple(sorted(images, key=lambda image: image.index)),
        error=_part(JobError, fields.get("error")),
        created_at=float(fields["created_at"]),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
        deadline_at=_seconds(fields.get("deadline_at")),
        webhook=_part(Webhook, fields.get("webhook")),
        erased="erased" in fields,
    )


def _part(kind: type[Part], value: bytes | None) -> Part | None:
    return None if value is None else kind.model_validate_json(value)


def _seconds(value: bytes | None) -> float | None:
    return None if value is None else float(value)
