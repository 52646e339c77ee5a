"""A browser opens six connections to a host, for all its tabs together: one is always left."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from httpx import AsyncClient
from playwright.async_api import Page, Request, expect

from tests.app.web.conftest import Painter, Watched, ask_for, asked
from workers.jobs.card import CascadeCard

pytestmark = pytest.mark.asyncio(loop_scope="session")

NO_LOCKS = 'Object.defineProperty(Navigator.prototype, "locks", {value: undefined});'


class Streams:
    """The event streams of a page's browser: how many there were at once."""

    def __init__(self, page: Page) -> None:
        self.most = 0
        self._open: set[Request] = set()
        page.context.on("request", self._begins)
        page.context.on("requestfinished", self._ends)
        page.context.on("requestfailed", self._ends)

    def _begins(self, request: Request) -> None:
        if request.url.endswith("/events"):
            self._open.add(request)
            self.most = max(self.most, len(self._open))

    def _ends(self, request: Request) -> None:
        self._open.discard(request)


@pytest_asyncio.fixture(loop_scope="session")
async def other_page(page: Page) -> AsyncIterator[Page]:
    """Another tab of the same browser."""
    watched = Watched(await page.context.new_page())
    yield watched.page
    assert not watched.wrongs


async def in_line(url: str, names: list[str]) -> None:
    """Jobs that wait to be drawn."""
    async with AsyncClient(base_url=url, trust_env=False) as client:
        for name in names:
            assert (await client.post("generate", json={"prompt": name})).status_code == 202


async def test_many_jobs_leave_the_browser_a_connection_for_more(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    streams = Streams(page)
    await page.goto(url)
    names = [f"star {i}" for i in range(7)]
    for name in names:
        await ask_for(page, name)
        await expect(page.get_by_role("article", name=name)).to_be_visible()
    last = page.get_by_role("article", name=names[-1])
    await last.get_by_role("button", name="Cancel").click()
    await expect(last).to_contain_text("Canceled")
    for _ in names[:-1]:
        await painter.draw()
    await expect(page.locator("[data-state=done]")).to_have_count(6)
    assert 1 <= streams.most <= 3


async def test_a_page_that_is_opened_over_many_jobs_can_draw_more(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    streams = Streams(page)
    await in_line(url, [f"star {i}" for i in range(7)])
    await page.goto(url)
    await expect(page.locator(".job")).to_have_count(7)
    await asked(page, "one more")
    for _ in range(8):
        await painter.draw()
    await expect(page.locator("[data-state=done]")).to_have_count(8)
    assert 1 <= streams.most <= 3


async def test_tabs_share_what_there_is(
    page: Page, other_page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    streams = Streams(page)
    await in_line(url, [f"star {i}" for i in range(4)])
    for each in (page, other_page):
        await each.goto(url)
        await expect(each.locator(".job")).to_have_count(4)
    await asked(other_page, "one more")
    for _ in range(5):
        await painter.draw()
    await expect(other_page.locator("[data-state=done]")).to_have_count(5)
    await expect(page.locator("[data-state=done]")).to_have_count(4)
    assert 1 <= streams.most <= 3


async def test_tabs_that_cannot_share_have_one_each(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.add_init_script(NO_LOCKS)
    streams = Streams(page)
    await in_line(url, [f"star {i}" for i in range(3)])
    await page.goto(url)
    await expect(page.locator(".job")).to_have_count(3)
    await asked(page, "one more")
    for _ in range(4):
        await painter.draw()
    await expect(page.locator("[data-state=done]")).to_have_count(4)
    assert streams.most == 1
