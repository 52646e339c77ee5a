"""/v1: pictures and models for clients of OpenAI's, which change their base_url, key and model."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.dependencies import CallerNow, Card, LinksHere, ServicesNow
from app.openai.answers import ImagesAnswer, Model, ModelList
from app.openai.document import DRAWN, NO_MODEL, errors
from app.openai.drawn import answer_of
from app.openai.errors import ModelNotFound, refusal_of
from app.openai.request import ImageRequest, read_order
from app.openai.stream import frames
from app.openai.waiting import Attended, end_unless_gone
from app.openapi import json_request
from app.orders.body import read_json
from app.orders.job import new_job, policy_for
from app.quotas import quota_headers
from app.sse import EventStream
from workers.jobs.ledger import Accepted

CLIENT_CLOSED_REQUEST = 499
"""nginx's name for it: nobody reads the answer, but logs and metrics tell it from others."""

router = APIRouter(prefix="/v1", tags=["openai"], responses=errors(401))


@router.post(
    "/images/generations",
    summary="Draw pictures, and wait for them",
    response_model=ImagesAnswer,
    response_model_exclude_none=True,
    openapi_extra=json_request("ImageRequest"),
    responses=DRAWN,
)
async def create_images(
    request: Request,
    response: Response,
    caller: CallerNow,
    services: ServicesNow,
    links: LinksHere,
    attended: Attended,
) -> ImagesAnswer | Response:
    """OpenAI's `images.generate`; the job is also at the URL in `Location`.

    A client that goes away has its job canceled. With `stream` the answer is server-sent events;
    a comment comes every 15 s where nothing else does.
    """
    asked, quotas = ImageRequest(), services.settings.quotas

    async def accept() -> Accepted:
        nonlocal asked
        body, card = await read_json(request), await services.cards.recent()
        asked, order = read_order(body, card, policy_for(caller, services.settings))
        job = new_job(order, caller, links)
        attended.add(job.id)
        return await services.ledger.submit(job, quotas)

    accepted = await services.metrics.counted(accept())
    job = accepted.job
    response.headers["Location"] = links.job(job.id)
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(quota_headers(quotas, accepted.allowance))
    if asked.stream:
        most = asked.partial_images or 0
        look = await services.events.look(job.id) if most else None
        stream = EventStream(frames(services, job, look, most))
        stream.headers.update(response.headers)
        return stream
    ended = await end_unless_gone(request, services.watcher, job.id)
    if ended is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    refusal = refusal_of(ended)
    if refusal is not None:
        return refusal.response(response.headers)
    return await answer_of(ended, asked.response_format or "url", services.images, links)


@router.get("/models", summary="The models that are served", responses=errors(503))
async def list_models(card: Card) -> ModelList:
    """The cascade. GET /model tells more of it."""
    return ModelList(data=[Model(id=card.name)])


@router.get(
    "/models/{model:path}", summary="A model that is served", responses=NO_MODEL | errors(503)
)
async def retrieve_model(
    model: Annotated[str, Path(examples=["picture-book"])], card: Card
) -> Model:
    """The cascade of this name."""
    if model != card.name:
        raise ModelNotFound(card.name)
    return Model(id=card.name)
