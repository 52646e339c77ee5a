"""The page at /docs in a browser; that it asks no other host, the fixture `page` sees to."""

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import new_key
from tests.app.web.conftest import serving, shot
from workers.jobs import keys
from workers.jobs.card import CascadeCard

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_shows_what_there_is_behind_a_proxy_too(page: Page, url: str) -> None:
    await page.goto(f"{url}docs")
    generate = page.locator("#operations-jobs-generate")
    await expect(generate).to_contain_text("/generate")
    await generate.get_by_role("button").first.click()
    await expect(generate).to_contain_text("prompt")
    await shot(page, "docs")


async def test_a_key_is_sent_and_not_kept(
    page: Page, settings: ApiSettings, redis: Redis, served: CascadeCard
) -> None:
    header = await new_key(redis, "ann")
    key = header["authorization"].removeprefix("Bearer ")
    async with serving(settings.model_copy(update={"auth": "required"})) as url:
        await page.goto(f"{url}docs")
        await page.get_by_role("button", name="Authorize").first.click()
        await page.get_by_role("textbox").fill(key)
        await page.get_by_role("button", name="Apply credentials").click()
        await page.get_by_role("button", name="Close").last.click()
        model = page.locator("#operations-model-read_model")
        await model.get_by_role("button").first.click()
        await model.get_by_role("button", name="Try it out").click()
        await model.get_by_role("button", name="Execute").click()
        await expect(model.locator(".live-responses-table")).to_contain_text("picture-book")
        assert await page.evaluate("localStorage.length") == 0
    await redis.delete(keys.api_keys())
