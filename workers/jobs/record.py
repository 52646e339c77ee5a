"""How a job lies in its Redis hash. The Lua transitions write the same field names."""

import time
from collections.abc import Mapping

from workers.jobs.job import (
    ImageResult,
    Job,
    JobError,
    JobParameters,
    JobStatus,
    new_job_id,
)

IMAGE_FIELD = "image:"


def new_job(parameters: JobParameters) -> Job:
    """A job that is about to be submitted."""
    return Job(id=new_job_id(), parameters=parameters, created_at=time.time())


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
    error = fields.get("error")
    return Job(
        id=job_id,
        status=JobStatus(fields["status"].decode()),
        parameters=JobParameters.model_validate_json(fields["parameters"]),
        images=tuple(sorted(images, key=lambda image: image.index)),
        error=None if error is None else JobError.model_validate_json(error),
        created_at=float(fields["created_at"]),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
    )


def _seconds(value: bytes | None) -> float | None:
    return None if value is None else float(value)
