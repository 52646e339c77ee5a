"""A whole service for tests: a real API and real workers on a real queue."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from httpx import ASGITransport, AsyncClient

from app.main import create_app
from app.settings import ApiSettings
from model.cascade import Cascade
from workers.compute import compute_thread
from workers.jobs.settings import QueueSettings
from workers.main import open_worker
from workers.settings import WorkerSettings
from workers.worker import Worker


def worker_settings(queue: QueueSettings, cascade: Path, **more: object) -> WorkerSettings:
    return WorkerSettings.model_validate(
        {**queue.model_dump(), "cascade": str(cascade), "threads": 1, **more}
    )


@asynccontextmanager
async def working(cascade: Cascade, settings: WorkerSettings) -> AsyncGenerator[Worker]:
    """A worker in this event loop, its forwards in a thread of their own."""
    with compute_thread(settings.threads) as compute:
        async with open_worker(cascade, settings, compute) as worker:
            running = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                worker.stop()
                await running


@asynccontextmanager
async def api(queue: QueueSettings) -> AsyncGenerator[AsyncClient]:
    """A client of an API in this event loop."""
    app = create_app(ApiSettings.model_validate({**queue.model_dump(), "auth": "none"}))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://imagen", timeout=90) as client,
    ):
        yield client


async def until_ready(client: AsyncClient) -> None:
    """Wait for a worker's card: nothing tells of it, so the API is asked."""
    async with asyncio.timeout(60):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)


async def start_worker_process(settings: WorkerSettings) -> asyncio.subprocess.Process:
    """`imagen worker` as a process of its own, told everything by its environment."""
    told = settings.model_dump(exclude_none=True)
    environment = {f"IMAGEN_{name.upper()}": str(value) for name, value in told.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "worker", env={**os.environ, **environment}
    )
