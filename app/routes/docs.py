"""The page at /docs: the API's document, for people. Knows nothing of what is in it.

Swagger UI comes from a package, not from another host: a script of this origin could read the API
key that the page at / keeps, and a service may have no way out to the internet.
"""

from fastapi import APIRouter, Request, Response

from app.routes import page

FILES = page.PageFiles(packages=[("fastapi_offline", "static")])

router = APIRouter(include_in_schema=False)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def read_docs(request: Request) -> Response:
    """The page itself. Its URLs are relative: a proxy may put a prefix before them."""
    return await page.FILES.get_response("docs.html", request.scope)


@router.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def read_docs_part(name: str, request: Request) -> Response:
    """What Swagger UI is made of."""
    return await FILES.get_response(name, request.scope)
