"""POST /generate: a prompt becomes a job."""

import contextlib
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from app.answers import JobAnswer
from app.body import read_json
from app.dependencies import Card, LinksHere, ServicesNow, WaitSeconds
from app.openapi import Responses, json_request, problems
from app.resolve import resolve
from workers.jobs.errors import QueueUnavailable
from workers.jobs.record import new_job

ANSWERS: Responses = {
    200: {"model": JobAnswer, "description": "The job, which has ended within the time to wait."},
    202: {"description": "The job, which is queued or running. `Location` is its URL."},
    **problems(413, 415, 422, 503),
}

router = APIRouter(tags=["jobs"])


@router.post(
    "/generate",
    status_code=202,
    summary="Draw pictures",
    openapi_extra=json_request("GenerateRequest"),
    responses=ANSWERS,
)
async def generate(
    request: Request,
    response: Response,
    card: Card,
    services: ServicesNow,
    links: LinksHere,
    wait_s: WaitSeconds,
) -> JobAnswer:
    """Queues a job and answers with it, every value as decided, the seed included.

    With `Prefer: wait=N` the answer waits for the job's end, N seconds at most.
    """
    job = new_job(resolve(await read_json(request), card))
    await services.queue.submit(job)
    if wait_s is not None:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
        # The job is accepted: the client gets its id even if the queue goes away just now.
        with contextlib.suppress(QueueUnavailable):
            job = await services.watcher.wait(job.id, wait_s)
    if job.status.terminal:
        response.status_code = HTTPStatus.OK
    response.headers["Location"] = links.job(job.id)
    response.headers["Cache-Control"] = "no-store"
    return JobAnswer.of(job, links)
