"""The API, and the real openai package as its client."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from redis.asyncio import Redis

from app.main import create_app
from app.services import Services
from app.settings import ApiSettings
from tests.app.conftest import PNG, PlayedWorker
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.image_store import image_path
from workers.jobs.job import ImageResult, Job, Task
from workers.jobs.queue import Effect, Queue, Reached


@dataclass(frozen=True)
class Service:
    """An API that has been started. is_live: it is reached through a socket."""

    app: FastAPI
    url: str
    is_live: bool

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    @asynccontextmanager
    async def client(self, api_key: str = "unused") -> AsyncGenerator[AsyncOpenAI]:
        """As anyone would make one; only that it neither retries nor looks for proxies."""
        transport = None if self.is_live else httpx2.ASGITransport(self.app)
        async with AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=api_key,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(transport=transport, trust_env=False),
        ) as client:
            yield client

    @asynccontextmanager
    async def http(self) -> AsyncGenerator[AsyncClient]:
        """For what no client of OpenAI's sends."""
        transport = None if self.is_live else ASGITransport(self.app)
        async with AsyncClient(
            base_url=self.url, transport=transport, trust_env=False, timeout=20
        ) as client:
            yield client

    async def job(self, owner: str = "") -> Job:
        """The owner's one job, which may be about to be submitted."""
        async with asyncio.timeout(10):
            while not (page := await self.services.history.page(owner, most=2)).jobs:
                await asyncio.sleep(0.005)
        (job,) = page.jobs
        return job


@asynccontextmanager
async def started(settings: ApiSettings) -> AsyncGenerator[Service]:
    """The API without a server: an answer comes as a whole, and no one goes away."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Service(app, "http://imagen.test", is_live=False)


@asynccontextmanager
async def serving(settings: ApiSettings) -> AsyncGenerator[Service]:
    """The API on loopback, in this event loop."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, log_config=None, ws="none", lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        try:
            yield Service(app, f"http://127.0.0.1:{listener.getsockname()[1]}", is_live=True)
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def service(settings: ApiSettings, redis: Redis) -> AsyncIterator[Service]:
    async with started(settings) as service:
        yield service


@pytest.fixture
async def openai(service: Service) -> AsyncIterator[AsyncOpenAI]:
    async with service.client() as client:
        yield client


class Painter(PlayedWorker):
    """A played worker that shows previews, and has a safety checker."""

    def __init__(self, redis: Redis, settings: ApiSettings) -> None:
        self.queue = Queue(redis, settings)
        self._store_of_images = FolderImageStore(settings.images_dir)
        super().__init__(self.queue, self._store_of_images)

    async def show(self, task: Task, step: int) -> None:
        """A preview after so many steps."""
        steps = task.parameters.stage(task.stage).steps
        await self.queue.preview(Reached(task, step, steps), preview_after(step))

    async def finish_as(self, task: Task, blocked_by: str | None) -> None:
        """Stores the image and records what the safety checker has found."""
        path = image_path(task.job_id, task.image)
        self._store_of_images.put(path, PNG)
        parameters = task.parameters
        image = ImageResult(
            index=task.image,
            seed=parameters.image_seed(task.image),
            width=parameters.width,
            height=parameters.height,
            path=path,
            sha256="0" * 64,
            bytes=len(PNG),
            blocked_by=blocked_by,
        )
        assert await self.queue.finish(task, self.name, image) is Effect.DONE


def preview_after(step: int) -> bytes:
    return PNG + str(step).encode()


@pytest.fixture
def painter(settings: ApiSettings, redis: Redis) -> Painter:
    return Painter(redis, settings)
