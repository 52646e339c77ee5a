"""Jobs as they stand, and their end by their owner. Another's job is as good as none."""

import asyncio
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.answers import JobAnswer, JobList
from app.dependencies import CallerNow, LinksHere, OwnJob, ServicesNow, WaitSeconds
from app.openapi import JOB_LINKS, Responses, headers, problems
from workers.jobs.errors import ImageStoreUnavailable
from workers.jobs.job import Job, JobStatus

MAX_CURSOR = 2**53

READ: Responses = {
    200: {
        "links": JOB_LINKS,
        "headers": headers("Cache-Control", sometimes=("Preference-Applied",)),
    },
    **problems(404, 503),
}
ENDED: Responses = {200: {"links": JOB_LINKS}, **problems(404, 503)}

router = APIRouter(tags=["jobs"])


class JobsAsked(BaseModel):
    """Which jobs are to be listed."""

    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = Field(default=None, description="Only those that stand so.")
    prompt: str | None = Field(
        default=None, description="Only those whose prompt has this text in it, in any case."
    )
    limit: int = Field(default=20, ge=1, le=100, description="The most jobs of one answer.")
    cursor: int | None = Field(
        default=None, ge=0, le=MAX_CURSOR, description="As the `next` of an answer has it."
    )

    def wanted(self, job: Job) -> bool:
        """Whether the job is one of them."""
        if self.status is not None and job.status is not self.status:
            return False
        return self.prompt is None or self.prompt.casefold() in job.parameters.prompt.casefold()

    def after(self, cursor: int) -> str:
        """The query of the answer that follows."""
        asked = self.model_dump(exclude_none=True, exclude_defaults=True)
        return urlencode({**asked, "cursor": cursor})


@router.get(
    "/jobs",
    summary="The owner's jobs, the newest first",
    responses={200: {"headers": headers("Cache-Control")}, **problems(422, 503)},
)
async def list_jobs(
    response: Response,
    asked: Annotated[JobsAsked, Query()],
    caller: CallerNow,
    services: ServicesNow,
    links: LinksHere,
) -> JobList:
    """As long as their records are kept; deleted ones are not listed.

    Of many jobs that are not wanted an answer skips some thousands at most: it may have fewer jobs
    than its limit, or none, and a `next` all the same.
    """
    response.headers["Cache-Control"] = "no-store"
    page = await services.history.page(caller.owner, asked.limit, asked.cursor, asked.wanted)
    return JobList(
        jobs=[JobAnswer.of(job, links) for job in page.jobs],
        next=None if page.before is None else f"{links.jobs}?{asked.after(page.before)}",
    )


@router.get("/jobs/{job_id}", summary="A job as it stands", responses=READ)
async def read_job(
    job: OwnJob, response: Response, services: ServicesNow, links: LinksHere, wait_s: WaitSeconds
) -> JobAnswer:
    """Its status, its parameters as decided, and the pictures done so far.

    With `Prefer: wait=N` the answer waits for the job's end, N seconds at most.
    """
    response.headers["Cache-Control"] = "no-store"
    if wait_s is not None:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
        job = await services.watcher.wait(job.id, wait_s)
    return JobAnswer.of(job, links)


@router.post("/jobs/{job_id}/cancel", summary="End a job", responses=ENDED)
async def cancel_job(job: OwnJob, services: ServicesNow, links: LinksHere) -> JobAnswer:
    """The job ends before its next step; what is done of it stays. One that has ended stays so."""
    await services.ledger.cancel(job.id)
    return JobAnswer.of(await services.ledger.job(job.id), links)


@router.delete("/jobs/{job_id}", summary="Delete a job", responses=ENDED)
async def delete_job(job: OwnJob, services: ServicesNow, links: LinksHere) -> JobAnswer:
    """Its prompts and pictures are gone when this is answered; one that had not ended is canceled.

    That it was there, how it ended and when can be read as long as before.
    """
    # First the record, which refuses what workers still make of it; then what they have made.
    await services.ledger.erase(job.id)
    try:
        await asyncio.to_thread(services.images.remove_job, job.id)
    except OSError as error:
        raise ImageStoreUnavailable(str(error)) from error
    return JobAnswer.of(await services.ledger.job(job.id), links)
