"""GET /images/...: finished pictures, which never change."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import RedirectResponse

from app.dependencies import ServicesNow
from app.openapi import headers, problems

# Private: a shared cache would keep what its owner has deleted.
CACHE_CONTROL = "private, max-age=31536000, immutable"

DOWNLOAD = "`true`: from the service itself, also where others are redirected."

SIGNED = {"Cache-Control": "private, no-store"}
"""Of the way to a picture in an object store, which is soon none any more."""

HEADERS = headers("ETag", "Cache-Control", "X-Content-Type-Options")
LINKS = {
    "read_image_again": {
        "operationId": "read_image",
        "description": "For who still has it, 304.",
        "parameters": {
            "job_id": "$request.path.job_id",
            "index": "$request.path.index",
            "if-none-match": "$response.header.ETag",
        },
    }
}

router = APIRouter(tags=["images"])


class Png(Response):
    """A response that is a PNG, for OpenAPI too."""

    media_type = "image/png"


@router.head("/images/{job_id}/{index}.png", include_in_schema=False)
@router.get(
    "/images/{job_id}/{index}.png",
    summary="A finished picture",
    response_class=Png,
    responses={
        200: {"headers": HEADERS, "links": LINKS},
        304: {"description": "The client has it already.", "headers": HEADERS},
        307: {
            "description": "The picture lies in an object store, for this method and a while.",
            "headers": headers("Cache-Control", "Location"),
        },
        **problems(404, 422, 503),
    },
)
def read_image(
    job_id: str,
    index: str,
    request: Request,
    services: ServicesNow,
    download: Annotated[bool, Query(description=DOWNLOAD)] = False,
    if_none_match: Annotated[list[str] | None, Header()] = None,
) -> Response:
    """The PNG. Its ETag is the hash of its bytes."""
    # Not async, so it runs in a thread: the store blocks.
    path = f"{job_id}/{index}.png"
    if services.signed_images is not None and not download:
        method: Literal["GET", "HEAD"] = "HEAD" if request.method == "HEAD" else "GET"
        return RedirectResponse(services.signed_images.url(path, method), headers=SIGNED)
    png = services.images.get(path)
    etag = f'"{hashlib.sha256(png).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL, "X-Content-Type-Options": "nosniff"}
    if _has(if_none_match or (), etag):
        return Response(status_code=304, headers=headers)
    return Png(png, headers=headers)


def _has(headers: Iterable[str], etag: str) -> bool:
    """Whether If-None-Match names the picture; compared weakly, as RFC 9110 13.1.2 asks."""
    named = [tag.strip().removeprefix("W/") for header in headers for tag in header.split(",")]
    return etag in named or "*" in named
