"""From a prompt to pictures, as who sits before the page sees it."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect
from redis.asyncio import Redis

from app.settings import ApiSettings
from model.cascade import Cascade
from tests.app.web.conftest import Painter, ask_for, png, shot
from tests.serving import worker_settings, working
from workers.jobs import keys
from workers.jobs.card import CascadeCard
from workers.jobs.job import Task

pytestmark = pytest.mark.asyncio(loop_scope="session")

GREEN, RED, BLUE = [0, 128, 0], [255, 0, 0], [0, 0, 255]

COLOR_SEEN = """async (images) => {
  const image = images.at(-1);
  await image.decode();
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.drawImage(image, 0, 0);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


async def color_of(tile: Locator) -> Any:
    """Red, green and blue of the picture on top, 0 to 255."""
    return await tile.locator("img").evaluate_all(COLOR_SEEN)


async def test_a_real_worker_draws_two_pictures(
    page: Page, url: str, settings: ApiSettings, tiny_cascade: Path
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu")
    async with working(cascade, worker_settings(settings, tiny_cascade)):
        await page.goto(url)
        await ask_for(page, "a red apple", n=2)
        job = page.get_by_role("article", name="a red apple")
        await expect(job.locator(".job-state")).to_contain_text("2 pictures in")
        for tile in await job.locator(".tile").all():
            await expect(tile).to_have_attribute("data-state", "done")
            assert await tile.locator("img").evaluate("(image) => image.naturalWidth") == 16
        # What is on the wall is there for others too, and for the next time.
        await page.reload()
        await expect(page.locator("[data-state=done]")).to_have_count(2)


async def test_a_picture_sharpens_and_nothing_older_is_shown_again(
    page: Page, url: str, served: CascadeCard, painter: Painter, redis: Redis
) -> None:
    await page.emulate_media(reduced_motion="no-preference")  # with its fades, that is
    await page.goto(url)
    await ask_for(page, "two stars", n=2)
    first, second = page.locator(".tile").nth(0), page.locator(".tile").nth(1)
    task, other = await painter.take()
    await painter.preview(task, 5, "red")
    await expect(first).to_contain_text("32 px · step 5 of 30")
    await expect(first.locator("img")).to_have_count(1)
    assert await color_of(first) == RED
    await expect(second).to_contain_text("Waiting")
    await shot(page, "drawing")

    await painter.preview(await painter.go_on(task), 2, "blue")
    await expect(first).to_contain_text("128 px · step 2 of 8")
    await happened(redis, task, "preview", value=[0, "32 30 30"], picture=png("red", 8))
    await painter.preview(other, 1, "red")  # when it is there, what came before it was, too
    await expect(second.locator("img")).to_have_count(1)
    await expect(first.locator("img")).to_have_count(1)
    assert await color_of(first) == BLUE
    await expect(first).to_contain_text("128 px · step 2 of 8")
    bar = first.get_by_role("progressbar", name="Picture 1 of 2")
    await expect(bar).to_have_attribute("aria-valuetext", "128 pixels, step 2 of 8")


async def test_a_picture_is_there_before_its_job_has_ended(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.goto(url)
    await ask_for(page, "two stars", n=2)
    for task in await painter.take():
        last = await painter.go_on(await painter.go_on(task))
        await painter.tell(last, 1)
        await painter.finish(last)
        tile = page.locator(".tile").nth(task.image)
        await expect(tile).to_have_attribute("data-state", "done")
        await expect(tile.locator("img")).to_have_count(1)
        assert await color_of(tile) == GREEN
        if task.image == 0:
            await tile.get_by_role("button").click()
            await expect(page.get_by_role("dialog").get_by_role("img")).to_be_visible()
            await page.keyboard.press("Escape")
    await expect(page.locator(".job-state")).to_contain_text("2 pictures in")


async def test_cancel_ends_the_job_and_keeps_what_is_done(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.goto(url)
    await ask_for(page, "two stars", n=2)
    first, _ = await painter.take()
    await painter.finish(await painter.go_on(await painter.go_on(first)))
    await expect(page.locator("[data-state=done]")).to_have_count(1)
    cancel = page.get_by_role("button", name="Cancel")
    await cancel.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".job-state")).to_have_text("Canceled · 1 picture")
    await expect(page.locator("[data-state=lacking]")).to_have_text("Canceled")
    await expect(cancel).to_be_hidden()
    await expect(page.locator(".job-head")).to_be_focused()


async def test_what_fails_says_why_in_its_place(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    await page.goto(url)
    await ask_for(page, "two stars", n=2)
    first, second = await painter.take()
    await painter.fail_image(second)
    failed = page.locator("[data-state=lacking]")
    await expect(failed).to_have_text("Failed: there is no red left")
    await painter.finish(await painter.go_on(await painter.go_on(first)))
    outcome = "Failed: there is no red left · 1 picture"
    await expect(page.locator(".job-state")).to_have_text(outcome)
    await shot(page, "failed")
    await failed.get_by_role("button").click()
    await expect(page.get_by_role("dialog")).to_contain_text("There is no picture of it.")


async def test_what_of_the_prompt_means_nothing_is_said_before_it_is_drawn_and_after(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    warnings = ['prompt: "zebra" means nothing to this cascade', "prompt: it is too long"]
    painter.warnings = tuple(warnings)
    await page.goto(url)
    await ask_for(page, "a zebra")
    (task,) = await painter.take()
    told = page.get_by_role("article", name="a zebra").get_by_role("listitem")
    await expect(told).to_have_text(warnings)
    await painter.finish(await painter.go_on(await painter.go_on(task)))
    await expect(page.locator(".job-state")).to_contain_text("1 picture in")
    await expect(told).to_have_text(warnings)
    await expect(page.locator("#announcer")).to_contain_text(warnings[0])
    await shot(page, "warned")
    await page.locator(".tile").get_by_role("button").click()
    await expect(page.get_by_role("dialog")).to_contain_text(warnings[1])


async def test_a_request_whose_answer_is_lost_is_not_a_second_job(
    page: Page, url: str, served: CascadeCard, painter: Painter
) -> None:
    async def lose_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.goto(url)
    await page.route("**/generate", lose_answer, times=1)
    await ask_for(page, "a star")
    await expect(page.get_by_text("The service cannot be reached.")).to_be_visible()
    await page.get_by_role("button", name="Draw", exact=True).click()
    await expect(page.locator(".job")).to_have_count(1)
    await expect(page.get_by_text("The service cannot be reached.")).to_be_hidden()
    await painter.draw()
    await expect(page.locator("[data-state=done]")).to_have_count(1)
    await page.reload()
    await expect(page.locator(".job")).to_have_count(1)


async def happened(
    redis: Redis, task: Task, kind: str, value: list[object], picture: bytes
) -> None:
    """Something that the queue would not let happen any more, told all the same."""
    await redis.xadd(
        keys.events(task.job_id), {"kind": kind, "value": json.dumps(value), "png": picture}
    )
    await redis.publish(keys.happened(), task.job_id)
