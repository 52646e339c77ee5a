"""Tells an orchestrator whether the process lives, and whether the service can work."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.dependencies import ServicesNow
from app.openapi import problems

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """An answer with status 200; what is wrong comes as a problem."""

    status: str


@router.get("/livez", summary="Is this process alive?")
async def livez() -> Health:
    """Always 200: says nothing of queue and workers, so that their absence restarts no API."""
    return Health(status="alive")


@router.get("/readyz", summary="Can a request be served?", responses=problems(503))
async def readyz(services: ServicesNow) -> Health:
    """200 when the queue answers and a worker has published its card."""
    await services.cards.latest()
    return Health(status="ready")
