"""The page where the cascade has adapters: each at its stage, with a scale, or left out."""

import pytest
from playwright.async_api import Page, expect

from app.settings import ApiSettings
from tests.app.conftest import CARD, show
from tests.app.web.conftest import Painter, ask_for, asked, shot
from workers.jobs.card import AdapterCard

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADAPTED = CARD.model_copy(
    update={
        "adapters": (
            AdapterCard(name="pixel-art", stage="32"),
            AdapterCard(name="ink", stage="32"),
            AdapterCard(name="clay", stage="128"),
        )
    }
)


async def test_those_of_the_stages_that_run_can_be_asked_for(
    page: Page, url: str, settings: ApiSettings, painter: Painter
) -> None:
    show(settings, ADAPTED)
    await page.goto(url)
    await page.get_by_text("Details").click()
    base = page.get_by_role("group", name="Stage of 32 px")
    await expect(base.get_by_label("Adapter")).to_have_count(2)
    ink, clay = base.get_by_label("Adapter ink"), page.get_by_label("Adapter clay")
    await ink.fill("-0.5")
    await page.get_by_label("Size").select_option("32")
    await expect(clay).to_have_count(0)
    await expect(ink).to_have_value("-0.5")
    await shot(page, "adapters")
    body = await asked(page, "a cat")
    assert body["adapters"] == [{"name": "ink", "scale": -0.5}]
    await ink.fill("")
    await painter.draw()
    await page.locator(".tile").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("ink -0.5")
    await dialog.get_by_role("button", name="Use parameters").click()
    await expect(ink).to_have_value("-0.5")
    await ink.fill("")
    assert "adapters" not in await asked(page, "a dog")


async def test_what_is_refused_says_so_at_its_own_place(
    page: Page, url: str, settings: ApiSettings
) -> None:
    show(settings, ADAPTED)
    await page.goto(url)
    await page.get_by_text("Details").click()
    clay = page.get_by_label("Adapter clay")
    await page.get_by_label("Adapter ink").fill("1")
    await clay.fill("99")
    await ask_for(page, "a star")
    await expect(clay).to_be_focused()
    await expect(clay).to_have_accessible_description(
        'Has a scale that is too large. Use "pixel-art", "ink" or "clay", once, at a scale'
        " from -5 to 5."
    )
