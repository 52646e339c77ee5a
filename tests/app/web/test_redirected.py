"""The page, where its pictures come from an object store of another origin."""

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.web.conftest import Painter, serving
from tests.app.web.test_gallery import drawn
from workers.jobs.card import CascadeCard
from workers.jobs.open_images import open_image_store

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_picture_of_the_store_is_shown_and_downloaded(
    page: Page,
    settings: ApiSettings,
    bucket_url: str,
    redis: Redis,
    served: CascadeCard,
    painter: Painter,
) -> None:
    told = {"images_url": bucket_url, "images_delivery": "redirect"}
    redirecting = ApiSettings.model_validate({**settings.model_dump(), **told})
    painter._images = open_image_store(redirecting)
    async with serving(redirecting) as url:
        await drawn(url, painter, prompt="a red star", seed=7)
        page.set_default_timeout(60_000)  # moto loads what it needs when it is asked
        await page.goto(url)
        async with page.expect_response(lambda answer: "X-Amz-Signature" in answer.url):
            await page.get_by_role("button", name="a red star").first.click()
        dialog = page.get_by_role("dialog", name="a red star")
        shown = dialog.get_by_role("img")
        await expect(shown).to_be_visible()
        assert await shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 16
        async with page.expect_download() as download:
            await dialog.get_by_role("link", name="Download").click()
        assert (await download.value).suggested_filename == "a-red-star-7.png"
        assert page.url == url
