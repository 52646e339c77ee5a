"""How the page's files are served."""

import pytest
from httpx import AsyncClient

from app.routes.page import FOLDER

FILES = ("", *(f"web/{path.name}" for path in FOLDER.iterdir()))


async def test_a_file_is_asked_for_anew_and_sent_when_it_has_changed(client: AsyncClient) -> None:
    for path in FILES:
        answer = await client.get(f"/{path}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        etag = answer.headers["etag"]
        again = await client.get(f"/{path}", headers={"if-none-match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        other = await client.get(f"/{path}", headers={"if-none-match": '"another"'})
        assert other.content == answer.content
        assert (await client.head(f"/{path}")).headers["etag"] == etag


@pytest.mark.parametrize(
    ("path", "kind"),
    [("", "text/html"), ("web/main.js", "text/javascript"), ("web/style.css", "text/css")],
)
async def test_a_file_is_what_it_is_and_does_what_it_may(
    client: AsyncClient, path: str, kind: str
) -> None:
    headers = (await client.get(f"/{path}")).headers
    assert headers["content-type"].startswith(kind)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy


async def test_the_page_has_no_script_or_style_of_its_own(client: AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == page.count('<script type="module" src="web/main.js"></script>')


@pytest.mark.parametrize("name", ["none.js", "..%2f..%2fapp%2fmain.py", "..%2fmain.py", "%00"])
async def test_there_are_no_other_files(client: AsyncClient, name: str) -> None:
    answer = await client.get(f"/web/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
