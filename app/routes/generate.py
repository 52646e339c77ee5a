"""POST /generate: a prompt becomes a job."""

import contextlib
import hashlib
import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from app.answers import JobAnswer
from app.auth import Caller
from app.dependencies import CallerNow, LinksHere, ServicesNow, WaitSeconds
from app.links import Links
from app.openapi import (
    JOB_LINKS,
    QUOTA_HEADERS,
    Responses,
    headers,
    json_request,
    problems,
)
from app.orders.body import read_json
from app.orders.job import new_job, policy_for
from app.orders.resolve import resolve_order
from app.quotas import quota_headers
from app.services import Services
from workers.jobs.admission import Allowance, RequestKey
from workers.jobs.errors import QueueUnavailable
from workers.jobs.ledger import Accepted

ANSWER: dict[str, Any] = {
    "links": JOB_LINKS,
    "headers": headers(
        "Cache-Control",
        "Location",
        sometimes=("Idempotent-Replayed", "Preference-Applied", *QUOTA_HEADERS),
    ),
}
ANSWERS: Responses = {
    200: {**ANSWER, "model": JobAnswer, "description": "The job, which has ended by now."},
    202: {**ANSWER, "description": "The job, which is queued or running."},
    **problems(413, 415, 422, 429, 503),
}

IdempotencyKey = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")]] | None,
    Header(
        max_length=1,  # of two, which one counts?
        description="Any string of your own: a request that is sent again under it is not a new "
        "job, but gets the first one's, as long as that is kept.",
    ),
]

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
    caller: CallerNow,
    services: ServicesNow,
    links: LinksHere,
    wait_s: WaitSeconds,
    idempotency_key: IdempotencyKey = None,
) -> JobAnswer:
    """Queues a job and answers with it, every value as decided, the seed included.

    With `Prefer: wait=N` the answer waits for the job's end, N seconds at most.
    """
    settings = services.settings
    accepting = _accept(request, idempotency_key, caller, services, links)
    accepted = await services.metrics.counted(accepting)
    job = accepted.job
    if wait_s is not None:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
        # The job is accepted: the client gets its id even if the queue goes away just now.
        with contextlib.suppress(QueueUnavailable):
            job = await services.watcher.wait(job.id, wait_s)
    if job.status.terminal:
        response.status_code = HTTPStatus.OK
    response.headers["Location"] = links.job(job.id)
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(quota_headers(settings.quotas, accepted.allowance))
    if accepted.repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return JobAnswer.of(job, links)


async def _accept(
    request: Request, sent: list[str] | None, caller: Caller, services: Services, links: Links
) -> Accepted:
    """The job that there is under the request's key, else a new one.

    The former first: what was accepted stays so while no worker is there, or another card is.
    """
    body = await read_json(request)
    request_key = _request_key(sent, body)
    known = request_key and await services.ledger.find(caller.owner, request_key)
    if known:
        return Accepted(known, Allowance(), repeated=True)
    policy = policy_for(caller, services.settings)
    order = resolve_order(body, await services.cards.recent(), policy)
    job = new_job(order, caller, links)
    return await services.ledger.submit(job, services.settings.quotas, request_key)


def _request_key(sent: list[str] | None, body: Any) -> RequestKey | None:
    """Equal bodies have equal fingerprints, however they are written."""
    if sent is None:
        return None
    (key,) = sent
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return RequestKey(key=key, fingerprint=hashlib.sha256(canonical.encode()).hexdigest())
