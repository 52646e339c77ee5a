"""Workers on hosts of their own: each is a thread, since a thread too has its own network.

All else is as between machines, and nothing is started that would have to import torch again.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.network import Host
from model.cascade import Cascade
from workers.compute import compute_thread
from workers.main import open_worker
from workers.settings import WorkerSettings
from workers.worker import Worker


@dataclass(frozen=True)
class Working:
    """A worker on its host. ended: when run() has returned, or raised."""

    host: Host
    worker: Worker
    cascade: Cascade
    loop: asyncio.AbstractEventLoop
    ended: Future[None]

    @property
    def thread(self) -> str:
        """The name of its event loop's, as the log tells it."""
        return f"{self.host.port}_0"

    def stop(self) -> None:
        """What SIGTERM does."""
        self.loop.call_soon_threadsafe(self.worker.stop)


@contextmanager
def working_on(host: Host, settings: WorkerSettings) -> Iterator[Working]:
    """A worker that has begun, and that is stopped in the end."""
    begun: Future[tuple[Worker, Cascade, asyncio.AbstractEventLoop]] = Future()

    async def work() -> None:
        cascade = Cascade.load(settings.cascade, "cpu", settings.stages)
        with compute_thread(settings.threads) as compute:
            async with open_worker(cascade, settings, compute) as worker:
                begun.set_result((worker, cascade, asyncio.get_running_loop()))
                await worker.run()

    def run() -> None:
        try:
            with host.entered():
                asyncio.run(work())
        except BaseException as error:
            if not begun.done():
                begun.set_exception(error)
            raise

    with ThreadPoolExecutor(1, host.port) as thread:
        ended = thread.submit(run)
        working = Working(host, *begun.result(), ended)
        try:
            yield working
        finally:
            if not ended.done():
                working.stop()
            ended.result()
