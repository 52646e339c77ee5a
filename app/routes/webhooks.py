"""GET /webhooks/secret: what an owner checks the signatures of webhooks with."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.dependencies import CallerNow, ServicesNow
from app.openapi import headers, problems
from app.webhooks.signature import owner_secret

router = APIRouter(tags=["webhooks"])


class WebhookSecret(BaseModel):
    """What the owner's webhooks are signed with."""

    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])


@router.get(
    "/webhooks/secret",
    summary="What webhooks are signed with",
    responses={200: {"headers": headers("Cache-Control")}, **problems(503)},
)
async def read_secret(
    response: Response, caller: CallerNow, services: ServicesNow
) -> WebhookSecret:
    """For a library of the Standard Webhooks specification. Every owner has another."""
    response.headers["Cache-Control"] = "no-store"
    service_secret = await services.outbox.service_secret()
    return WebhookSecret(secret=str(owner_secret(service_secret, caller.owner)))
