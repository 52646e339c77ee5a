"""A browser before a real service: Chromium, an API on a port of its own, a queue.

Every page is watched: an error in its console, or a request to another host, fails its test.
"""

import asyncio
import io
import json
import os
import shutil
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from app.main import create_app
from app.processes.server import Server
from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker
from tests.valkey import leaked_keys
from workers.jobs.connect import connect
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.job import JobError, Task
from workers.jobs.queue import Queue, Reached
from workers.jobs.settings import QueueSettings

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
SCREENSHOTS = os.environ.get("PAGE_SCREENSHOTS")
"""Where `shot` puts what a page looks like; without it, nowhere."""

PATIENCE_MS = 10_000


class Watched:
    """A page, and what it did that it should not have done."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrongs: list[str] = []
        self.hosts: set[str | None] = set()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.wrongs.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))

    def _hear(self, message: ConsoleMessage) -> None:
        # Chromium itself reports every refused or failed request; the page has its own word for it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.wrongs.append(message.text)


@pytest_asyncio.fixture(loop_scope="session")
async def redis(queue_settings: QueueSettings) -> AsyncIterator[Redis]:
    """As everywhere, but in the loop of the browser, which all these tests share."""
    async with connect(queue_settings) as client:
        await client.flushall()
        yield client
        assert not await leaked_keys(client)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: `make system-packages` installs it on Debian")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        sandboxed = [] if os.geteuid() else ["--no-sandbox"]  # which root cannot have
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandboxed)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty one; when the test is over, nothing may have gone wrong in it."""
    context = await browser.new_context(reduced_motion="reduce", locale="en")
    context.set_default_timeout(PATIENCE_MS)
    watched = Watched(await context.new_page())
    yield watched.page
    await context.close()
    assert not watched.wrongs
    assert watched.hosts <= {"127.0.0.1", None}  # None: what is no request, as data URLs


@pytest_asyncio.fixture(loop_scope="session")
async def url(settings: ApiSettings, redis: Redis) -> AsyncIterator[str]:
    """Of a service that answers with its links under another name, behind a proxy's prefix."""
    behind = ApiSettings.model_validate(
        {**settings.model_dump(), "public_url": "https://pictures.example/of/ours"}
    )
    async with serving(behind, prefix="/imagen") as url:
        yield url


@asynccontextmanager
async def serving(settings: ApiSettings, port: int = 0, prefix: str = "") -> AsyncGenerator[str]:
    """An API in this event loop, at the URL that comes; port 0 is a free one."""
    listening = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}{prefix}/"
    app = create_app(settings)
    server = Server(app, "127.0.0.1", port)
    server.config.app = WithoutPrefix(app, prefix)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield url
    finally:
        server.should_exit = True
        await running


class WithoutPrefix:
    """What a proxy does that serves an app below a path."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert scope["path"].startswith(f"{self._prefix}/"), "the page leaves its folder"
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix)}
        await self._app(scope, receive, send)


class Painter(PlayedWorker):
    """A played worker whose pictures can be seen, and watched while they are drawn."""

    def __init__(self, settings: ApiSettings, redis: Redis) -> None:
        self._queue = Queue(redis, settings)
        super().__init__(self._queue, FolderImageStore(settings.images_dir))

    async def take(self) -> list[Task]:
        """Claims all images of one job at its first stage."""
        parameters = (await self._encode()).parameters
        return [await self._claim(parameters.stages[0].name) for _ in range(parameters.n)]

    async def go_on(self, task: Task) -> Task:
        """Ends one stage of an image; claims the next."""
        after = task.parameters.stage_after(task.stage)
        assert after is not None
        assert await self._queue.commit(task, self.name, b"pixels", after.name)
        return await self._claim(after.name)

    async def tell(self, task: Task, step: int) -> Reached:
        """Says how far an image is; waits until someone follows its job."""
        reached = Reached(task, step, task.parameters.stage(task.stage).steps)
        async with asyncio.timeout(10):
            while not await self._queue.progress([reached]):
                await asyncio.sleep(0.01)  # the page, which is still to connect
        return reached

    async def preview(self, task: Task, step: int, color: str) -> None:
        """Shows a picture of one colour as what the image looks like so far."""
        await self._queue.preview(await self.tell(task, step), png(color, 8))

    async def fail_image(self, task: Task) -> None:
        """Fails one image of a job."""
        error = JobError(code="out_of_paint", message="there is no red left")
        assert await self._queue.fail(task, self.name, error)


@pytest.fixture
def painter(settings: ApiSettings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Painter:
    monkeypatch.setattr("tests.app.conftest.PNG", png("green", 16))
    return Painter(settings, redis)


def png(color: str, side_px: int) -> bytes:
    """A picture of one colour."""
    written = io.BytesIO()
    Image.new("RGB", (side_px, side_px), color).save(written, "png")
    return written.getvalue()


async def ask_for(page: Page, prompt: str, n: int = 1) -> None:
    """Writes a prompt and presses Enter."""
    await page.get_by_role("combobox", name="Pictures").select_option(str(n))
    await page.get_by_label("What shall be drawn?").fill(prompt)
    await page.keyboard.press("Enter")


async def asked(page: Page, prompt: str, n: int = 1) -> dict[str, Any]:
    """The same, until the job is there; what was sent."""
    jobs = page.locator(".job")
    there = await jobs.count()
    body = await sent_by(page, ask_for(page, prompt, n))
    await expect(jobs).to_have_count(there + 1)
    return body


async def sent_by(page: Page, act: Awaitable[None]) -> dict[str, Any]:
    """The body of the POST /generate that this leads to."""
    async with page.expect_request("**/generate") as request:
        await act
    body: dict[str, Any] = json.loads((await request.value).post_data or "")
    return body


async def shot(page: Page, name: str) -> None:
    """What the page looks like, where someone wants to see it; also on a phone and in the dark."""
    if SCREENSHOTS is None:
        return
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for width, height in ((1280, 900), (360, 740)):
            await page.set_viewport_size({"width": width, "height": height})
            path = Path(SCREENSHOTS) / f"{name}-{scheme}-{width}.png"
            await page.screenshot(path=path)
