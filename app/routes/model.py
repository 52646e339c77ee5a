"""GET /model: what is being served."""

from fastapi import APIRouter

from app.body import MAX_BODY_BYTES
from app.dependencies import Card, ServicesNow
from app.openapi import problems
from app.schemas import Limits, ModelAnswer

router = APIRouter(tags=["model"])


@router.get("/model", summary="The cascade and the limits", responses=problems(503))
async def read_model(card: Card, services: ServicesNow) -> ModelAnswer:
    """Stages, sizes, samplers, defaults and limits, as the workers have published them."""
    limits = Limits(max_wait_s=services.settings.max_wait_s, max_body_bytes=MAX_BODY_BYTES)
    return ModelAnswer(cascade=card, limits=limits)
