"""GET /images/...: finished pictures, which never change."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.dependencies import ServicesNow
from app.openapi import headers, problems

# Private: a shared cache would keep what its owner has deleted.
CACHE_CONTROL = "private, max-age=31536000, immutable"

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
        **problems(404),
    },
)
def read_image(
    job_id: str,
    index: str,
    services: ServicesNow,
    if_none_match: Annotated[list[str] | None, Header()] = None,
) -> Response:
    """The PNG. Its ETag is the hash of its bytes."""
    # Not async, so it runs in a thread: the store blocks.
    png = services.images.get(f"{job_id}/{index}.png")
    etag = f'"{hashlib.sha256(png).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL, "X-Content-Type-Options": "nosniff"}
    if _has(if_none_match or (), etag):
        return Response(status_code=304, headers=headers)
    return Png(png, headers=headers)


def _has(headers: Iterable[str], etag: str) -> bool:
    """Whether If-None-Match names the picture; compared weakly, as RFC 9110 13.1.2 asks."""
    named = [tag.strip().removeprefix("W/") for header in headers for tag in header.split(",")]
    return etag in named or "*" in named
