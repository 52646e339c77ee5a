"""What can be asked for, and what is said where that is wrong."""

import re

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import CARD, show
from tests.app.web.conftest import Painter, ask_for, asked, serving, shot
from workers.jobs.card import CascadeCard

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_details(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_text("Details").click()


async def test_the_cards_defaults_and_limits_are_shown(
    page: Page, url: str, served: CascadeCard
) -> None:
    await open_details(page, url)
    base = page.get_by_role("group", name="Stage of 32 px")
    steps = base.get_by_label("Steps")
    await expect(steps).to_have_attribute("placeholder", "30")
    await expect(steps).to_have_attribute("max", "250")
    await expect(base.get_by_label("Guidance")).to_have_attribute("placeholder", "4")
    await expect(base.get_by_label("Sampler").locator("option")).to_have_text(
        ["ddim (usual)", "dpmpp"]
    )
    await expect(page.get_by_label("Size").locator("option")).to_have_text(
        [re.compile(f"^{px} . {px}$") for px in (32, 128, 512)]
    )
    await expect(page.get_by_label("Seed", exact=True)).to_have_attribute("max", str(2**32 - 1))
    await expect(page.get_by_role("combobox", name="Pictures").locator("option")).to_have_count(4)
    # Stages that do not run at a size cannot be told how to.
    await page.get_by_label("Size").select_option("128")
    await expect(page.get_by_role("group")).to_have_count(3)  # of which one is the details
    width = page.get_by_label("Width")
    for name, value in (("placeholder", 128), ("min", 32), ("step", 32), ("max", 352)):
        await expect(width).to_have_attribute(name, str(value))
    await shot(page, "details")


async def test_what_is_filled_in_is_asked_for_and_nothing_else(
    page: Page, url: str, served: CascadeCard
) -> None:
    await open_details(page, url)
    assert await asked(page, "a cat") == {"prompt": "a cat", "n": 1, "size": 512}
    await page.get_by_label("Negative prompt").fill("red")
    await page.get_by_label("Seed", exact=True).fill("7")
    await page.get_by_label("Size").select_option("128")
    await page.get_by_label("Width").fill("64")
    middle = page.get_by_role("group", name="Stage of 128 px")
    await middle.get_by_label("Steps").fill("12")
    await middle.get_by_label("Sampler").select_option("ddim")
    assert await asked(page, "a dog\nof mine", n=3) == {
        "prompt": "a dog\nof mine",
        "n": 3,
        "size": 128,
        "negative_prompt": "red",
        "seed": 7,
        "width": 64,
        "steps": [None, 12],
        "sampler": [None, "ddim"],
    }


async def test_a_refused_field_says_so_itself_and_has_the_focus(
    page: Page, url: str, served: CascadeCard
) -> None:
    await open_details(page, url)
    steps = page.get_by_role("group", name="Stage of 128 px").get_by_label("Steps")
    await steps.fill("9999")
    width = page.get_by_label("Width")
    await width.fill("513")
    await page.get_by_text("Details").click()
    await ask_for(page, "a star")
    await expect(width).to_be_focused()
    await expect(width).to_have_accessible_description(
        "Is no multiple of 128. Use a multiple of 128 from 128 to 1024."
    )
    await expect(steps).to_have_accessible_description(
        "Is too large. Use a whole number from 1 to 100."
    )
    await expect(page.locator(".job")).to_have_count(0)
    await shot(page, "refused")
    await width.fill("512")
    await expect(width).not_to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("Is no multiple")).to_have_count(0)
    await steps.fill("")
    await page.keyboard.press("Enter")
    await expect(page.locator(".job")).to_have_count(1)


async def test_what_is_no_number_is_not_ignored(page: Page, url: str, served: CascadeCard) -> None:
    await open_details(page, url)
    seed = page.get_by_label("Seed", exact=True)
    await seed.press_sequentially("1e")
    await ask_for(page, "a star")
    await expect(seed).to_be_focused()
    await expect(seed).to_have_accessible_description("Is not a number. Use digits, or none.")
    await expect(page.locator(".job")).to_have_count(0)


async def test_an_empty_prompt_is_refused_at_its_place(
    page: Page, url: str, served: CascadeCard
) -> None:
    await page.goto(url)
    await ask_for(page, " ")
    prompt = page.get_by_label("What shall be drawn?")
    await expect(prompt).to_be_focused()
    await expect(prompt).to_have_accessible_description(
        "Is blank. Say what to draw in 1 to 100 characters."
    )


async def test_shift_and_enter_begin_a_line(page: Page, url: str, served: CascadeCard) -> None:
    await page.goto(url)
    await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    prompt = page.get_by_label("What shall be drawn?")
    await expect(prompt).to_be_focused()
    await page.keyboard.type("a red")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("star")
    await expect(prompt).to_have_value("a red\nstar")
    await expect(page.locator(".job")).to_have_count(0)


async def test_a_seed_is_fresh_or_the_last_one(page: Page, url: str, served: CascadeCard) -> None:
    await open_details(page, url)
    seed = page.get_by_label("Seed", exact=True)
    last = page.get_by_role("button", name="Last seed")
    await expect(last).to_be_disabled()
    await page.get_by_role("button", name="Fresh seed").click()
    fresh = await seed.input_value()
    assert 0 <= int(fresh) < 2**32
    assert (await asked(page, "a star"))["seed"] == int(fresh)
    await seed.fill("")
    await last.click()
    await expect(seed).to_have_value(fresh)


async def test_a_full_queue_is_told_with_what_to_do(
    page: Page, settings: ApiSettings, redis: Redis, served: CascadeCard, painter: Painter
) -> None:
    full = settings.model_copy(update={"max_queued_images": 1})
    async with serving(full) as url:
        await page.goto(url)
        await ask_for(page, "a star")
        await expect(page.locator(".job")).to_have_count(1)
        await ask_for(page, "two stars")
        await expect(page.locator("#notice")).to_contain_text("or ask for fewer pictures.")
        await expect(page.locator(".job")).to_have_count(1)
        await painter.draw()
        await expect(page.locator("[data-state=done]")).to_have_count(1)
        await page.get_by_role("button", name="Draw", exact=True).click()
        await expect(page.locator(".job")).to_have_count(2)
        await expect(page.locator("#notice")).to_be_empty()


async def test_words_are_listed_where_they_are_few(
    page: Page, url: str, settings: ApiSettings
) -> None:
    show(settings, CARD.model_copy(update={"known_words": ("a", "cat", "苹果")}))
    await page.goto(url)
    await page.get_by_text("All its words").click()
    await expect(page.locator("#words p")).to_have_text("a, cat, 苹果")
    await shot(page, "words")


async def test_no_words_are_listed_where_they_are_many(
    page: Page, url: str, settings: ApiSettings
) -> None:
    show(settings, CARD)
    await page.goto(url)
    await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    await expect(page.locator("#words")).to_be_hidden()


async def test_examples_are_of_the_world_that_is_served(
    page: Page, url: str, settings: ApiSettings, served: CascadeCard
) -> None:
    await page.goto(url)
    example = page.get_by_role("button", name="three yellow stars")
    await expect(page.get_by_text("Your pictures will hang here.")).to_be_visible()
    await shot(page, "empty")
    await example.click()
    await expect(page.get_by_role("article", name="three yellow stars")).to_be_visible()
    show(settings, CARD.model_copy(update={"name": "another"}))
    async with serving(settings) as elsewhere:
        await page.goto(elsewhere)
        await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
        await expect(page.get_by_text("Try one")).to_be_hidden()
