"""GET /jobs/{job_id}: how a job stands."""

from fastapi import APIRouter, Response

from app.answers import JobAnswer
from app.dependencies import LinksHere, ServicesNow, WaitSeconds
from app.openapi import problems

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job_id}", summary="A job as it stands", responses=problems(404, 503))
async def read_job(
    job_id: str, response: Response, services: ServicesNow, links: LinksHere, wait_s: WaitSeconds
) -> JobAnswer:
    """Its status, its parameters as decided, and the pictures done so far.

    With `Prefer: wait=N` the answer waits for the job's end, N seconds at most.
    """
    response.headers["Cache-Control"] = "no-store"
    if wait_s is None:
        job = await services.queue.job(job_id)
    else:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
        job = await services.watcher.wait(job_id, wait_s)
    return JobAnswer.of(job, links)
