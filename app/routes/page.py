"""The page at /: what a person sees. It is a client of the API like any other, and knows no more.

Every file is asked for anew each time, and sent where its hash, the ETag, is another: what belongs
together comes together after an update too.
"""

import hashlib
import mimetypes
import os
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Scope

from app.dependencies import ServicesNow

FOLDER = Path(__file__).parent.parent / "web"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{images}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY.format(images=""),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """A page's files, with HEADERS and an ETag that every replica gives alike."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        content = Path(full_path).read_bytes()
        media_type, _ = mimetypes.guess_type(full_path)
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        answer = Response(content, status_code, {**HEADERS, "ETag": etag}, media_type)
        if self.is_not_modified(answer.headers, Headers(scope=scope)):
            return NotModifiedResponse(answer.headers)
        return answer


FILES = PageFiles(directory=FOLDER, check_dir=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def read_page(request: Request, services: ServicesNow) -> Response:
    """The page itself. Its URLs are relative: a proxy may put a prefix before them."""
    answer = await FILES.get_response("index.html", request.scope)
    if services.signed_images is not None:  # to where its pictures are redirected
        images = f" {services.signed_images.origin}"
        answer.headers["Content-Security-Policy"] = POLICY.format(images=images)
    return answer


@router.api_route("/web/{name}", methods=["GET", "HEAD"])
async def read_part(name: str, request: Request) -> Response:
    """What the page is made of."""
    return await FILES.get_response(name, request.scope)
