"""What a webhook tells: the job as GET /jobs/{id} does, and what has come of it."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.answers import JobAnswer
from app.links import Links
from workers.jobs.job import Job


class JobEvent(BaseModel):
    """The body of a webhook, by the Standard Webhooks specification."""

    type: str = Field(
        description="job.succeeded, job.failed, job.canceled or job.expired.",
        examples=["job.succeeded"],
    )
    timestamp: datetime = Field(description="When the job ended.")
    data: JobAnswer

    @classmethod
    def of(cls, job: Job, links: Links) -> "JobEvent":
        """A job that has ended."""
        answer = JobAnswer.of(job, links)
        assert answer.finished_at is not None
        return cls(type=f"job.{job.status}", timestamp=answer.finished_at, data=answer)


def message_id(job_id: str) -> str:
    """The same in every attempt, so that who is told twice can tell."""
    return f"msg_{job_id}"
