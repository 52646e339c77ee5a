"""A whole service in processes of its own: a queue, two APIs, and the workers one starts."""

import asyncio
import os
import random
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx
from redis.asyncio import Redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.chaos.faults import Traps
from tests.chaos.workers import ROOT, Workers, open_workers
from tests.tiny_cascade import write_tiny_cascade
from workers.jobs.connect import connect, connect_blocking
from workers.jobs.settings import QueueSettings
from workers.settings import WorkerSettings

LEASE_S = 1.0
"""Short, since tests wait for it; a busy machine may hold a heartbeat up for half of it."""

EXACT_ROWS = 4
"""So that pictures can be compared bit for bit."""

POLL_S = 0.02


@dataclass
class Api:
    """One replica: `imagen api` on a port of its own."""

    environment: dict[str, str]
    log: BinaryIO
    port: int
    _process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it answers."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", "api", "--port", str(self.port)),
            env={**os.environ, **self.environment},
            stdout=self.log,
            stderr=self.log,
            cwd=ROOT,
        )
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
            while not await _answers(client, f"{self.url}/livez"):
                assert self._process.returncode is None, f"an API ended, see {self.log.name}"
                await asyncio.sleep(POLL_S)  # nothing tells of it

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@dataclass(frozen=True)
class Service:
    """What runs, and where it keeps its data."""

    folder: Path
    settings: WorkerSettings
    queue: EmbeddedQueue
    apis: tuple[Api, ...]
    workers: Workers
    redis: Redis

    @property
    def urls(self) -> list[str]:
        return [api.url for api in self.apis]

    def clear(self) -> None:
        """Forget pictures, traps and what workers have told."""
        shutil.rmtree(self.settings.images_dir, ignore_errors=True)
        self.workers.traps.clear()
        self.workers.events.history.clear()

    def signal_queue(self, number: signal.Signals) -> None:
        assert self.queue._process is not None
        self.queue._process.send_signal(number)

    def kill_queue(self) -> None:
        """What it has written to its file stays."""
        self.signal_queue(signal.SIGKILL)
        self.queue.stop()

    def start_queue(self) -> None:
        """Returns when it has read its file back. Blocks, since the server dies with its thread."""
        _start(self.queue)
        assert self.queue.url == self.settings.redis_url

    async def until_ready(self) -> None:
        """A worker serves."""
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
            while not await _answers(client, f"{self.apis[0].url}/readyz"):
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def open_service(folder: Path) -> AsyncGenerator[Service]:
    """Without workers yet. folder: empty, with a short name, or the queue's socket is elsewhere."""
    for name in ("cascade", "traps"):
        (folder / name).mkdir()
    write_tiny_cascade(folder / "cascade")
    queue = EmbeddedQueue(folder)
    _start(queue)
    shared = QueueSettings(redis_url=queue.url, data_dir=folder, lease_s=LEASE_S)
    settings = WorkerSettings(
        **shared.model_dump(),
        cascade=str(folder / "cascade"),
        device="cpu",
        threads=1,
        exact_rows=EXACT_ROWS,
    )
    with (folder / "workers.log").open("wb") as workers_log, (folder / "api.log").open("wb") as log:
        apis = _apis(shared, log)
        try:
            async with (
                connect(settings) as redis,
                open_workers(settings, Traps(folder / "traps"), workers_log) as workers,
            ):
                await asyncio.gather(*(api.start() for api in apis))
                yield Service(folder, settings, queue, apis, workers, redis)
        finally:
            await asyncio.gather(*(api.kill() for api in apis))
            queue.stop()


def _apis(settings: QueueSettings, log: BinaryIO) -> tuple[Api, ...]:
    """Two, which name their URLs alike."""
    told = settings.model_dump(mode="json", exclude_none=True)
    environment = {f"IMAGEN_{name.upper()}": str(value) for name, value in told.items()}
    ports = _free_port(), _free_port()
    environment |= {"IMAGEN_AUTH": "none", "IMAGEN_PUBLIC_URL": f"http://127.0.0.1:{ports[0]}"}
    return Api(environment, log, ports[0]), Api(environment, log, ports[1])


def _free_port() -> int:
    """One that clients' connections are not given: they could have it while the API is away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _start(queue: EmbeddedQueue) -> None:
    """As docs/guarantees.md asks for where a killed queue may lose nothing.

    With appendfsync everysec a server answers up to two seconds before it writes, while the disk is
    busy with the sync before.
    """
    queue.start()
    with connect_blocking(QueueSettings(redis_url=queue.url), timeout_s=5) as client:
        client.config_set("appendfsync", "always")


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.TransportError:
        return False
