"""The real API on a real socket, with a worker who draws whatever is there in no time.

In a thread of its own: who tries it is not asynchronous.
"""

import asyncio
import logging
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn

from app.main import create_app
from app.settings import ApiSettings
from tests.app.conftest import CARD, PNG
from workers.jobs import keys
from workers.jobs.announcements import listening
from workers.jobs.connect import connect
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.image_store import image_path
from workers.jobs.job import TEXT_STAGE, ImageResult, JobError, Task
from workers.jobs.queue import Effect, Queue

CASCADE = CARD.model_copy(update={"stages": CARD.stages[:2]})
"""That of the examples in the API's document."""

STAGES = (TEXT_STAGE, *(stage.name for stage in CASCADE.stages))

WORKER = "painter"

FAILS = "fail"
"""A negative prompt with this in it makes a job fail."""


class Errors(logging.Handler):
    """What is logged as an error, by whomever; a bug of the service is."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@dataclass(frozen=True)
class Service:
    """Where it listens, and what went wrong in it."""

    host: str
    port: int
    errors: Errors = field(default_factory=Errors)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def serving(settings: ApiSettings) -> Generator[Service]:
    """The service while the block runs."""
    config = uvicorn.Config(create_app(settings), log_config=None, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    # With the protocol named, asyncio does not wait for an ACK before it sends the rest.
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener,
        ThreadPoolExecutor(1) as executor,
    ):
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        service = Service(*listener.getsockname())
        logging.getLogger().addHandler(service.errors)
        served = executor.submit(asyncio.run, _serve(server, listener, settings))
        try:
            yield service
        finally:
            server.should_exit = True
            served.result()
            logging.getLogger().removeHandler(service.errors)


async def _serve(server: uvicorn.Server, listener: socket.socket, settings: ApiSettings) -> None:
    redis = connect(settings)
    arrived = asyncio.Event()
    painter = Painter(Queue(redis, settings), FolderImageStore(settings.images_dir), arrived)
    channels = dict.fromkeys(map(keys.arrived, STAGES), lambda _: arrived.set())
    try:
        async with listening(redis, channels), asyncio.TaskGroup() as group:
            painting = group.create_task(painter.draw_for_ever())
            await server.serve(sockets=[listener])
            painting.cancel()
    finally:
        await redis.aclose()


class Painter:
    """Takes every task that there is; what becomes of it is as for a real worker."""

    def __init__(self, queue: Queue, images: FolderImageStore, arrived: asyncio.Event) -> None:
        self._queue = queue
        self._images = images
        self._arrived = arrived

    async def draw_for_ever(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            for stage in STAGES:
                for task in await self._queue.claim(WORKER, stage, count=16):
                    await self._do(task)

    async def _do(self, task: Task) -> None:
        parameters = task.parameters
        after = None if task.stage == TEXT_STAGE else parameters.stage_after(task.stage)
        if task.stage == TEXT_STAGE and FAILS in parameters.negative_prompt:
            error = JobError(code="out_of_paint", message="there is no red left")
            await self._queue.fail(task, WORKER, error)
        elif task.stage == TEXT_STAGE:
            embeddings = dict.fromkeys((parameters.prompt, parameters.negative_prompt), b"text")
            await self._queue.commit_text(task, WORKER, CASCADE.text_encoder, embeddings)
        elif after is not None:
            await self._queue.commit(task, WORKER, b"pixels", after.name)
        else:
            await self._finish(task)

    async def _finish(self, task: Task) -> None:
        path = image_path(task.job_id, task.image)
        self._images.put(path, PNG)
        image = ImageResult(
            index=task.image,
            seed=task.parameters.image_seed(task.image),
            width=task.parameters.width,
            height=task.parameters.height,
            path=path,
            sha256="0" * 64,
            bytes=len(PNG),
        )
        if await self._queue.finish(task, WORKER, image) is Effect.UNWANTED:
            self._images.remove(path)
