"""The worker: feeds its lanes from the queue, lets them compute, commits what they made.

The event loop only moves tasks; every forward runs in one compute thread, so that claims, commits
and signals are served while a network computes. Knows neither HTTP nor how a stage works.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress

from redis.asyncio import Redis

from workers.committing import Committer
from workers.feeding import Feeder
from workers.jobs import keys
from workers.jobs.announcements import listening
from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.errors import ImagenError, QueueUnavailable
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.image_store import ImageStore
from workers.jobs.queue import Queue
from workers.lane import Lane
from workers.metrics import WorkerMetrics
from workers.patience import Patience
from workers.reporting import Reporter
from workers.settings import WorkerSettings
from workers.storing import StoreWatch
from workers.turns import Turns

LAST_WORDS_S = 2.0

log = logging.getLogger(__name__)


def new_worker_name() -> str:
    """Never used twice, so that a name whose heartbeat is gone stays dead."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class StepTooLong(ImagenError):
    """A step that was under way did not end within the grace period."""


class Worker:
    """Serves its lanes until told to stop. Lanes are in cascade order."""

    def __init__(
        self,
        card: WorkerCard,
        lanes: Sequence[Lane],
        cascade: CascadeCard,
        redis: Redis,
        queue: Queue,
        images: ImageStore,
        settings: WorkerSettings,
        compute: Executor,
        metrics: WorkerMetrics | None = None,
    ):
        """compute: see compute_thread()."""
        metrics = metrics or WorkerMetrics()
        self.name = card.name
        self._lanes = tuple(lanes)
        self._turns = Turns(lanes)
        self._card = card
        self._cascade = cascade
        self._redis = redis
        self._queue = queue
        self._settings = settings
        self._compute = compute
        self._computing: Lane | None = None
        self._patience = Patience()
        self._store = StoreWatch(images, self._patience)
        metrics.store_away.set_function(lambda: self._store.is_away)
        self._committer = Committer(
            self.name,
            queue,
            self._patience,
            self._store,
            settings.max_deliveries,
            metrics,
            self._committed,
        )
        self._feeder = Feeder(self.name, lanes, queue, settings, self._patience, self._committer)
        self._reporter = Reporter(lanes, queue, self._patience)

    def stop(self) -> None:
        """Finish the step under way, commit what it finished, hand back the rest, let run() return.

        Within grace_s.
        """
        self._patience.end()
        self._store.wake()
        self._feeder.wake_all()
        self._reporter.wake()

    async def run(self) -> None:
        """Work until stop(), waiting for Redis where it is away.

        Raises StepTooLong, or what ended the worker: a lost device, or a bug.
        """
        heartbeat = Heartbeat(self._settings, self._card, self._cascade)
        arrived = {keys.arrived(lane.stage): self._feeder.arrived(lane) for lane in self._lanes}
        # Of its own: what hangs in another thread must not keep the worker looking alive.
        with ThreadPoolExecutor(1, "life") as life:
            loop = asyncio.get_running_loop()
            try:
                await self._patience(loop.run_in_executor, life, heartbeat.start)
                stages = ", ".join(lane.stage for lane in self._lanes)
                log.info("%s serves %s", self.name, stages, extra={"worker": self.name})
                async with listening(self._redis, {keys.ended(): self._drop_job, **arrived}):
                    await self._serve()
            except QueueUnavailable as error:
                log.warning("stopped while the queue was away, others take over: %s", error)
            finally:
                await loop.run_in_executor(life, heartbeat.stop)

    async def _serve(self) -> None:
        """Run all loops; the first that ends, by stop() or by a bug, ends the others."""
        loops = [self._compute_until_stopped(), self._store.watch(), self._reporter.report()]
        loops += [self._feeder.feed(lane) for lane in self._lanes]
        running = [asyncio.create_task(loop) for loop in loops]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop()
        try:
            async with asyncio.timeout(self._settings.grace_s):
                await _all_of(running)
                await _all_of(self._committer.under_way)
        except TimeoutError as error:
            await self._leave_the_step()
            raise StepTooLong(f"a step took longer than {self._settings.grace_s:g} s") from error
        # Not after a bug or a lost device: a task may be the cause, so this delivery counts.
        await self._queue.hand_back(self.name, self._queue.held(self.name))

    async def _leave_the_step(self) -> None:
        """Hand everything back; for those in the step, which may hang for ever, it counts."""
        held = self._queue.held(self.name)
        in_step = [task for task in held if self._computing and task.stage == self._computing.stage]
        with suppress(QueueUnavailable, TimeoutError):  # then others reclaim them
            async with asyncio.timeout(LAST_WORDS_S):
                await self._queue.hand_back(self.name, in_step, counted=True)
                rest = [task for task in held if task not in in_step]
                await self._queue.hand_back(self.name, rest)

    async def _compute_until_stopped(self) -> None:
        """Let the lanes take turns in the compute thread."""
        loop = asyncio.get_running_loop()
        while not self._patience.is_over:
            lane = self._turns.next()
            if lane is None:
                await self._feeder.work()
                continue
            self._computing = lane
            outcomes = await loop.run_in_executor(self._compute, lane.compute)
            self._computing = None
            self._reporter.wake()
            for outcome in outcomes:
                self._committer.begin(lane, outcome)
            if outcomes:
                self._feeder.wake(lane)

    def _committed(self, commit: asyncio.Task[None]) -> None:
        """One that failed by a bug ends the worker, and is raised by _serve()."""
        if not commit.cancelled() and commit.exception() is not None:
            self.stop()
        self._feeder.look_again()

    def _drop_job(self, job_id: str | None) -> None:
        """A Listener: a job that has ended wants no more steps. What is missed, reclaim() tells."""
        for lane in self._lanes if job_id is not None else ():
            lane.drop(lambda task: task.job_id == job_id)


async def _all_of(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Waits for all, and only then raises what one of them raised, a bug before an outage."""
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [end for end in ends if end is not None]
    for error in sorted(errors, key=lambda each: isinstance(each, QueueUnavailable)):
        raise error
