"""GET /metrics: what Prometheus scrapes."""

import asyncio
import hashlib
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response

from app.auth import identify
from app.dependencies import SentKey, ServicesNow
from app.errors import RequestError
from app.openapi import problems
from workers.jobs.depths import Depths
from workers.jobs.errors import QueueUnavailable

PATIENCE_S = 2.0
"""A queue that takes longer to answer is away: a scrape has ten seconds by default."""

router = APIRouter(tags=["health"])


class Exposition(Response):
    """A response that is text, for OpenAPI too."""

    media_type = "text/plain"


async def _scraper(request: Request, services: ServicesNow, key: SentKey) -> None:
    """Whoever may ask for a picture may look.

    While the queue is away, which knows the keys, who could before: it is then that one looks.
    """
    known = services.scrapers
    digest = hashlib.sha256((key or "").encode()).digest()
    try:
        async with asyncio.timeout(PATIENCE_S):
            caller = await identify(request, key, services.settings, services.api_keys)
    except (QueueUnavailable, TimeoutError) as error:
        if digest not in known:
            raise QueueUnavailable(f"no one can say whose key this is: {error}") from error
    except RequestError:
        known.discard(digest)
        raise
    else:
        if key is None or caller.owner:  # not a key that was none, where nobody needs one
            known.add(digest)


@router.get(
    "/metrics",
    summary="What is counted and measured",
    response_class=Exposition,
    dependencies=[Depends(_scraper)],
    responses=problems(401, 503),
)
async def read_metrics(
    services: ServicesNow, accept: Annotated[str, Header(include_in_schema=False)] = ""
) -> Response:
    """Of this process and of the queue, for Prometheus: in its text format, or in OpenMetrics.

    A queue that is away is a metric, not an error. docs/metrics.md tells what each means.
    """
    content, media_type = services.metrics.exposition(accept, await _depths(services))
    return Response(content, media_type=media_type)


async def _depths(services: ServicesNow) -> Depths | None:
    with suppress(QueueUnavailable, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            return await services.depths.read()
    return None
