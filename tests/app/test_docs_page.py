"""The page at /docs: the API's document, with scripts of our own host only."""

import pytest
from httpx import AsyncClient


async def test_it_may_load_and_run_nothing_but_our_files(client: AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "://" not in page.text
    assert page.text.count("<script") == page.text.count("<script defer src=")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")],
)
async def test_swagger_ui_is_ours_to_serve(client: AsyncClient, name: str, kind: str) -> None:
    part = await client.get(f"/docs/{name}")
    assert part.status_code == 200
    assert part.headers["content-type"].startswith(kind)
    assert part.headers["x-content-type-options"] == "nosniff"
    again = await client.get(f"/docs/{name}", headers={"if-none-match": part.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/..%2fcore.py"])
async def test_there_is_no_other_page_or_file(client: AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
