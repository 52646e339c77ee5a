"""GET /model: what is being served."""

from fastapi import APIRouter

from app.answers import Limits, ModelAnswer
from app.body import MAX_BODY_BYTES
from app.dependencies import Card, ServicesNow
from app.openapi import problems

router = APIRouter(tags=["model"])


@router.get("/model", summary="The cascade and the limits", responses=problems(503))
async def read_model(card: Card, services: ServicesNow) -> ModelAnswer:
    """Stages, sizes, samplers, defaults, limits and places, as the workers have published them."""
    limits = Limits(max_wait_s=services.settings.max_wait_s, max_body_bytes=MAX_BODY_BYTES)
    return ModelAnswer(cascade=card, limits=limits, workers=await services.cards.workers())
