"""How a job lies in its Redis hash. The Lua transitions write the same field names."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

from workers.jobs.contract import CONTRACT, is_understood
from workers.jobs.errors import JobNotFound, OtherContract
from workers.jobs.job import (
    TEXT_STAGE,
    ImageProgress,
    ImageResult,
    Job,
    JobError,
    JobParameters,
    JobStatus,
    Priority,
    Record,
    StageTimes,
    Webhook,
)

IMAGE_FIELD = "image:"
PROGRESS_FIELD = "progress:"

Part = TypeVar("Part", bound=Record)


def image_field(index: int) -> str:
    """The hash field of one finished image."""
    return f"{IMAGE_FIELD}{index}"


def read_progress(index: int, reached: str) -> ImageProgress:
    """As library.lua writes it: stage, steps done, of how many."""
    stage, step, steps = reached.split()
    return ImageProgress(index=index, stage=stage, step=int(step), steps=int(steps))


def read_job(job_id: str, record: Mapping[bytes, bytes], tasks_before: int = -1) -> Job:
    """The job that a hash holds. tasks_before: -1 where it is not queued.

    Raises: OtherContract.
    """
    fields = {name.decode(): value for name, value in record.items()}
    contract = int(fields.get("contract", 1))
    if not is_understood(contract):
        raise OtherContract(f"job {job_id} is of contract {contract}, this process of {CONTRACT}")
    parameters = JobParameters.model_validate_json(fields["parameters"])
    images = (
        ImageResult.model_validate_json(value)
        for name, value in fields.items()
        if name.startswith(IMAGE_FIELD)
    )
    progress = (
        read_progress(int(name.removeprefix(PROGRESS_FIELD)), value.decode())
        for name, value in fields.items()
        if name.startswith(PROGRESS_FIELD)
    )
    return Job(
        id=job_id,
        owner=fields["owner"].decode(),
        priority=Priority(fields["priority"].decode()),
        status=JobStatus(fields["status"].decode()),
        parameters=parameters,
        images=tuple(sorted(images, key=lambda image: image.index)),
        error=_part(JobError, fields.get("error")),
        warnings=tuple(json.loads(fields.get("warnings", b"[]"))),
        created_at=float(fields["created_at"]),
        started_at=_seconds(fields.get("started_at")),
        finished_at=_seconds(fields.get("finished_at")),
        deadline_at=_seconds(fields.get("deadline_at")),
        webhook=_part(Webhook, fields.get("webhook")),
        traceparent=_text(fields.get("traceparent")),
        erased="erased" in fields,
        tasks_before=None if tasks_before < 0 else tasks_before,
        progress=tuple(sorted(progress, key=lambda image: image.index)),
        times=tuple(
            _times(fields, stage)
            for stage in (TEXT_STAGE, *(stage.name for stage in parameters.stages))
        ),
    )


def read_fields(job_id: str, fields: Sequence[bytes], tasks_before: int) -> Job:
    """The job as a script returns it: names and values in turns.

    Raises: JobNotFound where there are none; OtherContract.
    """
    if not fields:
        raise JobNotFound(job_id)
    return read_job(job_id, dict(zip(fields[::2], fields[1::2], strict=True)), tasks_before)


def _times(fields: Mapping[str, bytes], stage: str) -> StageTimes:
    return StageTimes(
        stage=stage,
        ready_at=_seconds(fields.get(f"ready_at:{stage}")),
        claimed_at=_seconds(fields.get(f"claimed_at:{stage}")),
        settled_at=_seconds(fields.get(f"settled_at:{stage}")),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _part(kind: type[Part], value: bytes | None) -> Part | None:
    return None if value is None else kind.model_validate_json(value)


def _seconds(value: bytes | None) -> float | None:
    return None if value is None else float(value)
