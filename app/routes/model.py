"""GET /model: what is being served."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.dependencies import Card, ServicesNow
from app.openapi import problems
from app.orders.body import MAX_BODY_BYTES
from app.orders.request import MAX_ADAPTER_SCALE, MAX_ADAPTERS
from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.job import SEEDS

router = APIRouter(tags=["model"])


class Limits(BaseModel):
    """The bounds that the service itself sets; those of the cascade are in its card."""

    max_seed: int = SEEDS - 1
    max_wait_s: int
    max_body_bytes: int
    max_adapters: int = MAX_ADAPTERS
    max_adapter_scale: float = MAX_ADAPTER_SCALE


class ModelAnswer(BaseModel):
    """What is being served, within which bounds, and where."""

    cascade: CascadeCard
    limits: Limits
    workers: tuple[WorkerCard, ...]


@router.get("/model", summary="The cascade and the limits", responses=problems(503))
async def read_model(card: Card, services: ServicesNow) -> ModelAnswer:
    """Stages, sizes, samplers, defaults, limits and places, as the workers have published them."""
    limits = Limits(max_wait_s=services.settings.max_wait_s, max_body_bytes=MAX_BODY_BYTES)
    return ModelAnswer(cascade=card, limits=limits, workers=await services.cards.workers())
