"""What the queue tells of its tasks while it works: a line in the log where one is worth it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from workers.jobs.job import JobError, JobStatus, Task
from workers.jobs.log_fields import about, about_task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """How a job stands after a transition, so many seconds after it was accepted."""

    status: JobStatus
    seconds: float

    @classmethod
    def of(cls, told: bytes) -> Self:
        """As library.lua writes it."""
        seconds, status = told.decode().split()
        return cls(JobStatus(status), float(seconds))


class Tally:
    """Is told what the queue does. This one logs how jobs end; others may count as well."""

    def claimed(self, tasks: Sequence[Task]) -> None:
        """A worker of this process has these tasks from now on."""

    def expired(self, job_id: str, job: Standing) -> None:
        """A job whose task was to be claimed has passed its deadline."""
        log_end(job, {"job": job_id})

    def handed_on(self, task: Task) -> None:
        """Its result is recorded, and the next stage begins."""

    def image_done(self, task: Task, job: Standing) -> None:
        """Its image is recorded: that was the last stage."""
        if job.status.terminal:
            log_end(job, about(task))

    def failed(self, task: Task, error: JobError, job: Standing) -> None:
        """Its image, or with its text the job, has failed."""
        log_failure(job, error.code, about(task))

    def fenced(self, task: Task) -> None:
        """Its result came too late: the task is another's, or its job has ended."""
        what = "job %s: too late at stage %s: settled, another worker's, or its job has ended"
        log.info(what, task.job_id, task.stage, extra=about(task))

    def let_go(self, tasks: Sequence[Task]) -> None:
        """They were handed back, or lost to others or with their jobs."""

    def reclaimed(self, stage: str, tasks: int) -> None:
        """So many tasks of dead workers are ready again."""
        if tasks:
            what = "stage %s: %d tasks of dead workers are ready again"
            log.warning(what, stage, tasks, extra={"stage": stage})

    def gave_up(self, stage: str, name: str, job: Standing) -> None:
        """The task of this name has failed, since too many workers died with it."""
        log_failure(job, "gave_up", about_task(stage, name))


def log_end(job: Standing, fields: dict[str, object]) -> None:
    """fields: see log_fields.py."""
    end = {"status": job.status, "seconds": job.seconds}
    what = "job %s %s after %.1f s"
    log.info(what, fields["job"], job.status, job.seconds, extra={**fields, **end})


def log_failure(job: Standing, code: str, fields: dict[str, object]) -> None:
    """Of one image, or of the text: the job may go on."""
    end = {"status": job.status, "seconds": job.seconds, "code": code}
    log.warning(
        "job %s: %s at stage %s, %s after %.1f s",
        fields["job"],
        code,
        fields["stage"],
        job.status,
        job.seconds,
        extra={**fields, **end},
    )
