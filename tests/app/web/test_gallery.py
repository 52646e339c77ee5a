"""The pictures of before: found again, looked at, used again, deleted."""

import pytest
from httpx import AsyncClient
from playwright.async_api import Page, expect
from redis.asyncio import Redis

from tests.app.web.conftest import Painter, asked, sent_by, shot
from workers.jobs import keys
from workers.jobs.card import CascadeCard
from workers.jobs.queue import Effect

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUEST = {
    "prompt": "a red star",
    "negative_prompt": "blue",
    "n": 2,
    "size": 128,
    "width": 64,
    "seed": 7,
    "steps": [12, 8],
    "guidance_scale": [4.0, 2.5],
    "sampler": ["dpmpp", "ddim"],
    "eta": [None, 0.5],
}


async def drawn(url: str, painter: Painter, **request: object) -> None:
    """A job that someone has had drawn before."""
    async with AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.post("generate", json={"prompt": "a star", **request})
        assert answer.status_code == 202, answer.text
    await painter.draw()


async def test_a_picture_tells_how_it_was_drawn(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await drawn(url, painter, **REQUEST)
    await page.goto(url)
    second = page.get_by_role("button", name="Picture 2 of 2: a red star, seed 8")
    await second.click()
    dialog = page.get_by_role("dialog", name="a red star")
    for text in ("blue", "none, 0.5", "12 steps, dpmpp, guidance 4", "took"):
        await expect(dialog).to_contain_text(text)
    await expect(dialog.locator("dd").first).to_have_text("8")
    await shot(page, "picture")
    async with page.expect_download() as download:
        await dialog.get_by_role("link", name="Download").click()
    assert (await download.value).suggested_filename == "a-red-star-8.png"
    await page.keyboard.press("ArrowLeft")
    await expect(dialog.locator("dd").first).to_have_text("7")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(second).to_be_focused()


async def test_its_parameters_draw_it_again(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await drawn(url, painter, **REQUEST)
    await page.goto(url)
    await page.get_by_role("button", name="Picture 2 of 2").click()
    await page.get_by_role("button", name="Use parameters").click()
    prompt = page.get_by_label("What shall be drawn?")
    await expect(prompt).to_be_focused()
    await expect(prompt).to_have_value("a red star")
    base = page.get_by_role("group", name="Stage of 32 px")
    await expect(base.get_by_label("Steps")).to_have_value("12")
    await expect(base.get_by_label("Guidance")).to_be_empty()  # it is the card's
    await expect(page.get_by_text("As in that picture: eta [null,0.5]")).to_be_visible()
    assert await sent_by(page, page.keyboard.press("Enter")) == {
        "prompt": "a red star",
        "negative_prompt": "blue",
        "n": 1,
        "size": 128,
        "width": 64,
        "seed": 8,
        "steps": [12, None],
        "guidance_scale": [None, 2.5],
        "sampler": ["dpmpp", "ddim"],
        "eta": [None, 0.5],
    }
    await expect(page.locator(".latest")).to_be_visible()
    await page.get_by_role("button", name="Leave out").click()
    assert "eta" not in await sent_by(page, page.keyboard.press("Enter"))


async def test_another_is_drawn_with_another_seed_and_the_form_left_alone(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await drawn(url, painter, **REQUEST)
    await page.goto(url)
    await page.get_by_label("What shall be drawn?").fill("two stars")
    await page.get_by_role("button", name="Picture 2 of 2").click()
    sent = await sent_by(page, page.get_by_role("button", name="Draw another").click())
    same = {name: value for name, value in REQUEST.items() if name != "seed"}
    assert "seed" not in sent
    assert sent == sent | same | {"n": 1}
    await expect(page.get_by_label("What shall be drawn?")).to_have_value("two stars")
    await expect(page.locator(".latest")).to_have_accessible_name("a red star")


async def test_pictures_are_found_by_their_prompts(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    for prompt in ("a red star", "a blue moon", "a green star"):
        await drawn(url, painter, prompt=prompt)
    await page.goto(url)
    captions = page.locator("[data-state=done] figcaption")
    await expect(captions).to_have_text(["a green star", "a blue moon", "a red star"])
    search = page.get_by_role("searchbox")
    await search.fill("STAR")
    await expect(captions).to_have_text(["a green star", "a red star"])
    await search.fill("sun")
    await expect(page.get_by_text("There is no picture with “sun” in its prompt.")).to_be_visible()
    await search.fill("")
    await expect(captions).to_have_count(3)


async def test_a_search_shows_what_matches_and_leaves_the_order_as_it_was(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.goto(url)
    await asked(page, "a blue moon")
    (moon,) = await painter.take()
    await drawn(url, painter, prompt="a red star")
    await asked(page, "a green star")
    await painter.draw()
    names = page.locator(".job h3")
    await page.reload()
    await expect(names).to_have_text(["a green star", "a red star", "a blue moon"])
    await asked(page, "a small star")
    await painter.draw()
    search = page.get_by_role("searchbox")
    await search.fill("moon")
    await expect(names).to_have_text(["a blue moon"])
    await search.fill("sun")
    await expect(page.get_by_text("There is no picture with “sun” in its prompt.")).to_be_visible()
    await search.fill("")
    four = ["a small star", "a green star", "a red star", "a blue moon"]
    await expect(names).to_have_text(four)
    await painter.finish(await painter.go_on(await painter.go_on(moon)))
    await expect(page.locator("[data-state=done] figcaption")).to_have_text(four)


async def test_older_pictures_come_when_they_are_asked_for(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    for i in range(5):
        await drawn(url, painter, prompt=f"star {i}")
    await page.route("**/jobs?limit=*", lambda route: route.continue_(url=f"{url}jobs?limit=3"))
    await page.goto(url)
    captions = page.locator("[data-state=done] figcaption")
    await expect(captions).to_have_count(3)
    await shot(page, "gallery")
    await page.unroute_all()
    more = page.get_by_role("button", name="Show older pictures")
    await more.focus()
    await page.keyboard.press("Enter")
    await expect(captions).to_have_text([f"star {i}" for i in reversed(range(5))])
    await expect(more).to_be_hidden()
    await expect(page.get_by_role("button", name="star 1,")).to_be_focused()


async def test_deleting_asks_first(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await drawn(url, painter, **REQUEST)
    await drawn(url, painter, prompt="a moon")
    await page.goto(url)
    await page.get_by_role("button", name="Picture 1 of 2").click()
    delete = page.get_by_role("button", name="Delete", exact=True)
    await delete.click()
    sure = page.get_by_role("dialog", name="Delete all 2 pictures of this prompt?")
    await expect(sure).to_be_visible()
    await shot(page, "sure")
    await page.keyboard.press("Enter")  # the focus is on what does no harm
    await expect(sure).to_be_hidden()
    await expect(delete).to_be_focused()
    await delete.click()
    await sure.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator("[data-state=done] figcaption")).to_have_text(["a moon"])
    await page.reload()
    await expect(page.locator("[data-state=done] figcaption")).to_have_text(["a moon"])


async def test_deleting_what_is_being_drawn_says_that_it_is_stopped(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.goto(url)
    await asked(page, "two stars", n=2)
    first, second = await painter.take()
    await painter.finish(await painter.go_on(await painter.go_on(first)))
    await page.get_by_role("button", name="Picture 1 of 2").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    question = "Delete all 2 pictures of this prompt? Those that are not drawn yet are stopped."
    sure = page.get_by_role("dialog", name=question)
    await sure.get_by_role("button", name="Delete").click()
    await expect(page.locator(".job")).to_have_count(0)
    assert await painter.finish(second) is Effect.UNWANTED


async def test_a_job_without_a_picture_has_one_tile_and_can_be_looked_at(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    async with AsyncClient(base_url=url, trust_env=False) as client:
        await client.post("generate", json={"prompt": "a star", "n": 3})
    await painter.fail()
    await page.goto(url)
    tile = page.locator(".tile:visible")
    await expect(tile).to_have_count(1)
    await expect(tile).to_have_text("Failed: there is no red left")
    await tile.get_by_role("button").click()
    await expect(page.get_by_role("dialog", name="a star")).to_contain_text("no red left")


async def test_what_is_drawn_can_be_seen_and_used_while_no_worker_is_there(
    page: Page, url: str, served: CascadeCard, painter: Painter, redis: Redis
) -> None:
    await drawn(url, painter, **REQUEST)
    await redis.delete(keys.card())
    async with AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("readyz")).status_code == 503  # and so the API knows, too
    await page.goto(url)
    await expect(page.locator("#notice")).to_contain_text("No worker is there")
    await page.get_by_role("button", name="Picture 2 of 2").click()
    await page.get_by_role("button", name="Use parameters").click()
    await expect(page.get_by_label("What shall be drawn?")).to_have_value("a red star")
    await expect(page.get_by_label("Seed", exact=True)).to_have_value("8")
