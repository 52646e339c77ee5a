"""The page where the service wants a key."""

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import new_key
from tests.app.web.conftest import Painter, ask_for, asked, serving, shot
from workers.jobs import keys
from workers.jobs.card import CascadeCard

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEEPS_NOTHING = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
});"""


async def key_of(redis: Redis, owner: str) -> str:
    """One that was made for the owner just now."""
    header = await new_key(redis, owner)
    return header["authorization"].removeprefix("Bearer ")


async def give(page: Page, key: str) -> None:
    """Types it where the page asks for one."""
    dialog = page.get_by_role("dialog", name="An API key, please")
    await dialog.get_by_label("API key").fill(key)
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()


async def test_a_key_is_asked_for_kept_and_sent(
    page: Page, settings: ApiSettings, redis: Redis, served: CascadeCard, painter: Painter
) -> None:
    header = await new_key(redis, "ann")
    key = header["authorization"].removeprefix("Bearer ")
    async with serving(settings.model_copy(update={"auth": "required"})) as url:
        await page.goto(url)
        dialog = page.get_by_role("dialog", name="An API key, please")
        value = dialog.get_by_label("API key")
        await expect(value).to_be_focused()
        await shot(page, "key")
        await page.keyboard.type("img_wrong")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("alert")).to_have_text("The API key is not known here.")
        await value.fill(key)
        await page.keyboard.press("Enter")
        await expect(dialog).to_be_hidden()
        await ask_for(page, "a star")
        await painter.draw()
        await expect(page.locator("[data-state=done]")).to_have_count(1)
        await page.reload()
        await expect(page.locator("[data-state=done]")).to_have_count(1)
        await expect(dialog).to_be_hidden()
        # Without it again: another's pictures are none of ours.
        await page.get_by_role("button", name="API key").click()
        await page.get_by_role("button", name="Forget the key").click()
        await page.get_by_role("button", name="Not now").click()
        await expect(page.locator("#notice")).to_contain_text("This needs an API key.")
        await expect(page.locator(".job")).to_have_count(0)
    await redis.delete(keys.api_keys())


async def test_what_is_no_key_is_neither_kept_nor_sent(
    page: Page, settings: ApiSettings, redis: Redis, served: CascadeCard
) -> None:
    async with serving(settings.model_copy(update={"auth": "required"})) as url:
        await page.goto(url)
        dialog = page.get_by_role("dialog", name="An API key, please")
        for wrong in ("img_one two", "img_“quoted”", "ключ"):
            await dialog.get_by_label("API key").fill(wrong)
            await page.keyboard.press("Enter")
            await expect(dialog.get_by_role("alert")).to_contain_text("no spaces")
            await expect(dialog.get_by_label("API key")).to_be_focused()
        assert await page.evaluate("localStorage.length") == 0
        await give(page, await key_of(redis, "ann"))
        await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    await redis.delete(keys.api_keys())


async def test_a_browser_that_keeps_nothing_has_the_key_until_the_page_is_left(
    page: Page, settings: ApiSettings, redis: Redis, served: CascadeCard, painter: Painter
) -> None:
    await page.add_init_script(KEEPS_NOTHING)
    async with serving(settings.model_copy(update={"auth": "required"})) as url:
        await page.goto(url)
        await give(page, await key_of(redis, "ann"))
        await asked(page, "a star")
        await painter.draw()
        await expect(page.locator("[data-state=done]")).to_have_count(1)
        await page.reload()
        await expect(page.get_by_role("dialog", name="An API key, please")).to_be_visible()
    await redis.delete(keys.api_keys())


async def test_with_anothers_key_there_are_only_their_pictures(
    page: Page, settings: ApiSettings, redis: Redis, served: CascadeCard, painter: Painter
) -> None:
    async with serving(settings.model_copy(update={"auth": "required"})) as url:
        await page.goto(url)
        await give(page, await key_of(redis, "ann"))
        for prompt in ("ann's star", "ann's moon"):
            await asked(page, prompt)
            await painter.draw()
        await asked(page, "ann's sun")
        await redis.delete(keys.api_keys())  # hers is known no more
        await page.route("**/jobs?*", lambda route: None, times=1)  # hers go before his come
        await ask_for(page, "bob's star")
        await give(page, await key_of(redis, "bob"))
        await expect(page.locator(".job")).to_have_count(1)
        await expect(page.locator(".job h3")).to_have_text("bob's star")
        await page.reload()
        await expect(page.locator(".job h3")).to_have_text(["bob's star"])
    await redis.delete(keys.api_keys())


async def test_without_a_key_now_jobs_can_be_followed_later(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    problem = {"status": 401, "detail": "the API key is not known here"}
    await page.route("**/events", lambda route: route.fulfill(status=401, json=problem))
    await page.goto(url)
    await ask_for(page, "a star")
    await page.get_by_role("button", name="Not now").click()
    await expect(page.locator("#notice")).to_contain_text("is not known here")
    await page.unroute_all()
    await painter.draw()
    await page.get_by_role("searchbox").fill("star")
    await expect(page.locator("[data-state=done]")).to_have_count(1)
    await expect(page.locator("#notice")).to_be_empty()
