"""The page while the service is away, or says nothing, or nobody looks."""

import pytest
from httpx import AsyncClient
from playwright.async_api import Page, Request, expect
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import CARD, free_port, show
from tests.app.web.conftest import Painter, ask_for, serving, shot
from workers.jobs import keys
from workers.jobs.card import CascadeCard

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCH_ANNOUNCEMENTS = """() => {
  window.said = [];
  const announcer = document.getElementById("announcer");
  const listen = () => said.push(announcer.textContent);
  new MutationObserver(listen).observe(announcer, {childList: true});
}"""
SEEN = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""

HURRY = """
const timeout = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => timeout(ms / 40);
"""


def event_requests(page: Page) -> list[Request]:
    """Those for events, as they are sent."""
    sent: list[Request] = []
    page.on("request", lambda each: sent.append(each) if each.url.endswith("/events") else None)
    return sent


async def test_a_lost_connection_is_taken_up_where_it_was_lost(
    page: Page, settings: ApiSettings, served: CascadeCard, painter: Painter
) -> None:
    port = free_port()
    sent = event_requests(page)
    async with serving(settings, port) as url:
        await page.goto(url)
        await page.evaluate(WATCH_ANNOUNCEMENTS)
        await ask_for(page, "two stars", n=2)
        first, second = await painter.take()
        await painter.preview(first, 5, "red")
        await expect(page.locator("img[src^=data]")).to_have_count(1)
    await expect(page.locator("#notice")).to_contain_text("Trying again")
    await painter.finish(await painter.go_on(await painter.go_on(first)))
    async with serving(settings, port):
        await expect(page.locator("[data-state=done]")).to_have_count(1)
        await expect(page.locator("#notice")).to_be_empty()
        await painter.finish(await painter.go_on(await painter.go_on(second)))
        await expect(page.locator("[data-state=done]")).to_have_count(2)
        await expect(page.locator(".tile img")).to_have_count(2)
    assert "last-event-id" not in sent[0].headers
    assert all(each.headers["last-event-id"] for each in sent[1:])
    said = await page.evaluate("said")
    assert len(said) == 2
    assert said[0] == "Drawing 2 pictures: two stars"
    assert said[1].startswith("2 pictures in")


async def test_an_unseen_page_lets_go_and_is_up_to_date_when_it_is_seen(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    sent = event_requests(page)
    await page.goto(url)
    await ask_for(page, "a star")
    (task,) = await painter.take()
    await painter.preview(task, 5, "red")
    await expect(page.locator("img[src^=data]")).to_have_count(1)
    async with page.expect_event("requestfailed"):
        await page.evaluate(SEEN, True)
    await painter.finish(await painter.go_on(await painter.go_on(task)))
    assert len(sent) == 1
    await page.evaluate(SEEN, False)
    await expect(page.locator("[data-state=done]")).to_have_count(1)
    await expect(page.locator("#notice")).to_be_empty()
    assert len(sent) == 2


async def test_without_a_worker_the_page_says_so_and_waits_for_one(
    page: Page, url: str, settings: ApiSettings
) -> None:
    await page.goto(url)
    notice = page.locator("#notice")
    await expect(notice).to_contain_text(
        "No worker is there to draw. Start one with imagen worker."
    )
    await expect(page.get_by_role("button", name="Draw")).to_be_disabled()
    await shot(page, "no-worker")
    await page.get_by_label("What shall be drawn?").fill("a star")
    show(settings, CARD)
    await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    await expect(notice).to_be_empty()
    await page.keyboard.press("Enter")
    await expect(page.locator(".job")).to_have_count(1)


async def test_a_worker_that_has_gone_is_told_when_pictures_are_asked_for(
    page: Page, url: str, settings: ApiSettings, served: CascadeCard, redis: Redis
) -> None:
    await page.goto(url)
    await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    await redis.delete(keys.card())
    async with AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("readyz")).status_code == 503  # and so the API knows, too
    await ask_for(page, "a star")
    await expect(page.locator("#notice")).to_contain_text("No worker is there to draw.")
    show(settings, CARD)
    await page.keyboard.press("Enter")
    await expect(page.locator(".job")).to_have_count(1)


async def test_drawing_never_hangs_without_a_word(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.add_init_script(HURRY)
    await page.goto(url)
    await page.route("**/generate", lambda route: None, times=1)  # which nobody answers
    await ask_for(page, "a star")
    notice = page.locator("#notice")
    await expect(notice).to_contain_text("The service has not answered for too long.")
    await page.keyboard.press("Enter")
    await expect(page.locator(".job")).to_have_count(1)
    await expect(notice).to_be_empty()
