"""What routes ask for by type: caller, services, card, links, how long the client would wait."""

from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.auth import Caller, identify
from app.links import Links
from app.prefer import wait_s
from app.services import Services
from workers.jobs.card import CascadeCard
from workers.jobs.errors import JobNotFound
from workers.jobs.job import Job


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


Prefer = Annotated[
    list[str] | None,
    Header(
        description="`wait=N` (RFC 7240): answer when the job has ended, after N seconds at the "
        "latest. GET /model tells the longest wait.",
        examples=[["wait=30"]],
    ),
]
ServicesNow = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    description="An API key, as `imagen keys make NAME` prints it.",
    auto_error=False,
)


async def _sent_key(
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str | None:
    return None if sent is None else sent.credentials


SentKey = Annotated[str | None, Depends(_sent_key)]


async def _caller(request: Request, services: ServicesNow, key: SentKey) -> Caller:
    return await identify(request, key, services.settings, services.api_keys)


NEEDS_CALLER = Depends(_caller)
"""For `dependencies` of routes that do not ask who it is."""
CallerNow = Annotated[Caller, NEEDS_CALLER]


async def _own_job(job_id: str, caller: CallerNow, services: ServicesNow) -> Job:
    """Raises: JobNotFound, also for a job of someone else's."""
    job = await services.ledger.job(job_id)
    if job.owner != caller.owner:
        raise JobNotFound(job_id)
    return job


async def _card(services: ServicesNow) -> CascadeCard:
    return await services.cards.recent()


async def _links(request: Request, services: ServicesNow) -> Links:
    base = services.settings.public_url or request.base_url
    return Links(str(base).rstrip("/"))


async def _wait_s(services: ServicesNow, prefer: Prefer = None) -> int | None:
    return wait_s(prefer or (), services.settings.max_wait_s)


OwnJob = Annotated[Job, Depends(_own_job)]
Card = Annotated[CascadeCard, Depends(_card)]
LinksHere = Annotated[Links, Depends(_links)]
WaitSeconds = Annotated[int | None, Depends(_wait_s)]
