"""What routes ask for by type: services, card, links, and how long the client would wait."""

from typing import Annotated, cast

from fastapi import Depends, Header, Request

from app.links import Links
from app.prefer import wait_s
from app.services import Services
from workers.jobs.card import CascadeCard


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


async def _card(services: ServicesNow) -> CascadeCard:
    return await services.cards.recent()


async def _links(request: Request, services: ServicesNow) -> Links:
    base = services.settings.public_url or request.base_url
    return Links(str(base).rstrip("/"))


async def _wait_s(services: ServicesNow, prefer: Prefer = None) -> int | None:
    return wait_s(prefer or (), services.settings.max_wait_s)


Card = Annotated[CascadeCard, Depends(_card)]
LinksHere = Annotated[Links, Depends(_links)]
WaitSeconds = Annotated[int | None, Depends(_wait_s)]
