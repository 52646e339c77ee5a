"""A job as it stands, and its end by its owner. Another's job is as good as none."""

import asyncio

from fastapi import APIRouter, Response

from app.answers import JobAnswer
from app.dependencies import LinksHere, OwnJob, ServicesNow, WaitSeconds
from app.openapi import JOB_LINKS, Responses, headers, problems
from workers.jobs.errors import ImageStoreUnavailable

READ: Responses = {
    200: {
        "links": JOB_LINKS,
        "headers": headers("Cache-Control", sometimes=("Preference-Applied",)),
    },
    **problems(404, 503),
}
ENDED: Responses = {200: {"links": JOB_LINKS}, **problems(404, 503)}

router = APIRouter(tags=["jobs"])


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
