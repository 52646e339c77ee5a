"""The page for those who use a keyboard, a screen reader, a phone, or dim light."""

from typing import Literal

import pytest
from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.app.web.conftest import Painter, asked
from workers.jobs.card import CascadeCard

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE: ViewportSize = {"width": 360, "height": 740}

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

TOUCH_PX = 44
"""WCAG 2.5.5."""

NAMELESS = """() => {
  const named = (each) => each.labels?.length || each.getAttribute("aria-label")
    || each.getAttribute("aria-labelledby") || each.hasAttribute("alt") || each.textContent.trim();
  return [...document.querySelectorAll("input, select, textarea, button, a, dialog, img")]
    .filter((each) => !named(each))
    .map((each) => each.outerHTML);
}"""

TWICE_OR_NOWHERE = """() => {
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  const named = ["for", "aria-labelledby", "aria-describedby"].flatMap((name) =>
    [...document.querySelectorAll(`[${name}]`)].map((each) => each.getAttribute(name)));
  const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  return [...twice, ...named.filter((id) => !ids.includes(id))];
}"""

TOO_FAINT = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => channels(color).slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if ((channels(color)[3] ?? 1) === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = (element) => {
    const both = [getComputedStyle(element).color, ground(element)].map(luminance);
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
  return [...document.body.querySelectorAll("*")]
    .filter((each) => each.checkVisibility() && !each.disabled)
    .filter((each) => [...each.childNodes].some(isText))
    .map((each) => [each.textContent.trim(), contrast(each)])
    .filter(([, ratio]) => ratio < 4.5);
}"""

TOO_SMALL = """(least) =>
  [...document.querySelectorAll("button, a, input, select, textarea, summary")]
    .filter((each) => each.checkVisibility())
    .map((each) => [each.outerHTML, each.getBoundingClientRect()])
    .filter(([, { width, height }]) => width < least || height < least)
    .map(([html]) => html)"""

TOO_WIDE = "(element) => element.scrollWidth - element.clientWidth"


async def show_everything(page: Page, url: str, painter: Painter) -> None:
    """Pictures that wait, are drawn and done; the details of the form, an error in it."""
    await page.goto(url)
    await page.get_by_text("Details").click()
    await asked(page, "a star")
    await painter.draw()
    await expect(page.locator("[data-state=done]")).to_have_count(1)
    await asked(page, "two stars and a very-very-very-very-very-very-very-very-long-word", n=2)
    first, _ = await painter.take()
    await painter.tell(first, 5)
    await expect(page.get_by_text("32 px · step 5 of 30")).to_be_visible()
    await page.get_by_label("Width").fill("1")
    await page.get_by_role("button", name="Draw", exact=True).click()
    await expect(page.locator(".error")).to_have_count(1)


async def test_a_keyboard_is_enough(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.goto(url)
    await expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    await page.keyboard.type("a star")
    await page.keyboard.press("Enter")
    await painter.draw()
    picture = page.get_by_role("button", name="Picture: a star")
    await expect(picture).to_be_enabled()
    await press_until_focused(page, "Tab", picture)
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="a star")
    use = dialog.get_by_role("button", name="Use parameters")
    await press_until_focused(page, "Tab", use)
    await page.keyboard.press("Escape")
    await expect(picture).to_be_focused()
    await page.keyboard.press("Enter")
    await press_until_focused(page, "Tab", use)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("What shall be drawn?")).to_be_focused()
    await press_until_focused(page, "Tab", page.get_by_label("Seed", exact=True))
    # Where the focus is can be seen.
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert await page.evaluate(outline) == "solid"


async def press_until_focused(page: Page, key: str, wanted: Locator) -> None:
    for _ in range(40):
        if await wanted.evaluate("(element) => element === document.activeElement"):
            return
        await page.keyboard.press(key)
    pytest.fail("it cannot be reached")


async def test_everything_has_a_name_and_stands_out_also_in_the_dark_and_on_a_phone(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await show_everything(page, url, painter)
    assert await page.evaluate(NAMELESS) == []
    assert await page.evaluate(TWICE_OR_NOWHERE) == []
    await check_sight(page)
    await page.set_viewport_size(PHONE)
    await check_touch(page, page.locator("html"))
    await page.get_by_role("button", name="Picture: a star").click()
    await check_touch(page, page.locator(".picture-side"))
    await check_sight(page)


async def check_sight(page: Page) -> None:
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate(TOO_FAINT) == []


async def check_touch(page: Page, scrolled: Locator) -> None:
    assert await scrolled.evaluate(TOO_WIDE) == 0
    assert await page.evaluate(TOO_SMALL, TOUCH_PX) == []
