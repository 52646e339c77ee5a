"""What the tests of the API share: a client of a real app, a card, and a worker who plays.

The queue is real; only the drawing is not.
"""

import asyncio
import hashlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from app.main import create_app
from app.settings import ApiSettings
from workers.jobs.api_keys import ApiKeys
from workers.jobs.card import (
    CascadeCard,
    StageCard,
    StagePlace,
    WorkerCard,
    publish,
    publish_worker,
)
from workers.jobs.connect import connect_blocking
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.image_store import ImageStore, image_path
from workers.jobs.job import TEXT_STAGE, ImageResult, JobError, Priority, Task
from workers.jobs.queue import Effect, Queue
from workers.jobs.settings import QueueSettings

PNG = b"\x89PNG\r\n\x1a\n and so on"

CARD = CascadeCard(
    name="picture-book",
    text_encoder="encoder-1",
    max_prompt_chars=100,
    max_prompt_tokens=64,
    stages=(
        StageCard(
            name="32",
            size=32,
            multiple=8,
            steps=30,
            max_steps=250,
            guidance_scale=4.0,
            max_guidance_scale=30.0,
            sampler="ddim",
            samplers=("ddim", "dpmpp"),
        ),
        StageCard(
            name="128",
            size=128,
            multiple=8,
            steps=8,
            max_steps=100,
            guidance_scale=1.0,
            max_guidance_scale=20.0,
            guidance_interval=(0.2, 0.9),
            sampler="dpmpp",
            samplers=("ddim", "dpmpp"),
            aug_level=0.1,
        ),
        StageCard(
            name="512",
            size=512,
            multiple=16,
            steps=4,
            max_steps=100,
            guidance_scale=1.0,
            max_guidance_scale=20.0,
            sampler="ddim",
            samplers=("ddim",),
            aug_level=0.2,
        ),
    ),
    max_images=4,
    max_area_ratio=2.0,
    max_aspect_ratio=4.0,
)

WORKER = WorkerCard(
    name="played",
    stages={
        "text": StagePlace(device="cpu", dtype="int8"),
        "32": StagePlace(device="cuda:0", dtype="bfloat16", rows=64, row_ms=0.4),
    },
)


@pytest.fixture
def settings(queue_settings: QueueSettings) -> ApiSettings:
    return ApiSettings.model_validate({**queue_settings.model_dump(), "auth": "none"})


@pytest.fixture
async def client(settings: ApiSettings, redis: Redis) -> AsyncIterator[AsyncClient]:
    """Of an app whose queue is there and empty."""
    async with client_of(settings) as client:
        yield client


@pytest.fixture
def served(settings: ApiSettings, redis: Redis) -> CascadeCard:
    """A cascade that a worker serves, as far as its card tells."""
    show(settings, CARD)
    return CARD


@pytest.fixture
def worker(settings: ApiSettings, redis: Redis) -> "PlayedWorker":
    return PlayedWorker(Queue(redis, settings), FolderImageStore(settings.images_dir))


@asynccontextmanager
async def client_of(settings: ApiSettings) -> AsyncGenerator[AsyncClient]:
    """A client of a started app; a bug of the app's is a status 500, as it is in production."""
    app = create_app(settings)
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://imagen.test") as client,
    ):
        yield client


async def new_key(redis: Redis, owner: str, priority: Priority = Priority.NORMAL) -> dict[str, str]:
    """The header that sends a key which was made for the owner just now."""
    _, key = await ApiKeys(redis).make(owner, priority)
    return {"authorization": f"Bearer {key}"}


def show(settings: QueueSettings, card: CascadeCard) -> None:
    """Publishes a card, and that of a worker, for longer than a test takes."""
    with connect_blocking(settings, timeout_s=5) as redis:
        publish(redis, card, lease_s=600)
        publish_worker(redis, WORKER, lease_s=600)


def free_port() -> int:
    """One of this machine's that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class PlayedWorker:
    """Takes tasks and commits them, as a worker does that draws in no time."""

    name = WORKER.name

    def __init__(self, queue: Queue, images: ImageStore) -> None:
        self.warnings: tuple[str, ...] = ()
        """Of every text from now on."""
        self._queue = queue
        self._images = images

    async def draw(self) -> None:
        """One job from its text to its last image. Waits for the job to come."""
        text = await self._encode()
        for _ in range(text.parameters.n):
            assert await self.finish(await self.begin_next(text)) is Effect.DONE

    async def begin(self) -> Task:
        """One job up to the last stage of one image, which is kept."""
        return await self.begin_next(await self._encode())

    async def begin_next(self, task: Task) -> Task:
        """The same of the next image of the task's job."""
        *lower, last = task.parameters.stages
        for stage in lower:
            below = await self._claim(stage.name)
            after = below.parameters.stage_after(stage.name)
            assert after is not None
            assert await self._queue.commit(below, self.name, b"pixels", after.name)
        return await self._claim(last.name)

    async def finish(self, task: Task) -> Effect:
        """Stores the image and records it; takes it away again where no one wants it."""
        image = self._store(task)
        effect = await self._queue.finish(task, self.name, image)
        if effect is Effect.UNWANTED:
            self._images.remove(image.path)
        return effect

    async def fail(self) -> None:
        """Fails one job at its text."""
        task = await self._claim(TEXT_STAGE)
        error = JobError(code="out_of_paint", message="there is no red left")
        assert await self._queue.fail(task, self.name, error)

    async def accept(self) -> Task:
        """Claims one job's text and keeps it."""
        return await self._claim(TEXT_STAGE)

    async def _encode(self) -> Task:
        task = await self._claim(TEXT_STAGE)
        parameters = task.parameters
        prompts = {parameters.prompt: b"embedding", parameters.negative_prompt: b"embedding"}
        encoder = CARD.text_encoder
        assert await self._queue.commit_text(task, self.name, encoder, prompts, self.warnings)
        return task

    def _store(self, task: Task) -> ImageResult:
        path = image_path(task.job_id, task.image)
        self._images.put(path, PNG)
        return ImageResult(
            index=task.image,
            seed=task.parameters.image_seed(task.image),
            width=task.parameters.width,
            height=task.parameters.height,
            path=path,
            sha256=hashlib.sha256(PNG).hexdigest(),
            bytes=len(PNG),
        )

    async def _claim(self, stage: str) -> Task:
        async with asyncio.timeout(5):
            while not (tasks := await self._queue.claim(self.name, stage, count=1)):
                await asyncio.sleep(0.005)  # a job that is being submitted
        return tasks[0]
