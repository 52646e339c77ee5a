"""The worker: claims tasks, lets its lanes compute them, commits what they made.

The event loop only moves tasks; every forward runs in one compute thread, so that claims, commits
and signals are served while a network computes. Knows neither HTTP nor how a stage works.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.errors import QueueUnavailable
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.job import JobError, Task
from workers.jobs.queue import Queue
from workers.lane import Lane, Outcome
from workers.settings import WorkerSettings
from workers.turns import Turns

log = logging.getLogger(__name__)

CLAIM_BLOCK_S = 1.0
"""Bounds how long stop() waits for an idle claim."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def new_worker_name() -> str:
    """Never used twice, so that a name whose heartbeat is gone stays dead."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Worker:
    """Serves its lanes until told to stop. Lanes are in cascade order."""

    def __init__(
        self,
        card: WorkerCard,
        lanes: Sequence[Lane],
        cascade: CascadeCard,
        queue: Queue,
        settings: WorkerSettings,
        compute: Executor,
    ):
        """compute: see compute_thread()."""
        self.name = card.name
        self._lanes = tuple(lanes)
        self._turns = Turns(lanes)
        self._card = card
        self._cascade = cascade
        self._queue = queue
        self._settings = settings
        self._compute = compute
        self._stopping = asyncio.Event()
        self._work = asyncio.Event()
        self._room = {lane.stage: asyncio.Event() for lane in lanes}
        self._commits: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Finish the step under way, commit what it finished, and let run() return.

        What is left unfinished goes to other workers at once, since the heartbeat ends too.
        """
        self._stopping.set()
        for event in (self._work, *self._room.values()):
            event.set()

    async def run(self) -> None:
        """Work until stop(), waiting for Redis where it is away."""
        heartbeat = Heartbeat(self._settings, self._card, self._cascade)
        try:
            await self._patiently(asyncio.to_thread, heartbeat.start)
            log.info("%s serves %s", self.name, ", ".join(lane.stage for lane in self._lanes))
            await self._serve()
        except QueueUnavailable as error:
            log.warning("stopped while the queue was away, others take over: %s", error)
        finally:
            await asyncio.to_thread(heartbeat.stop)

    async def _serve(self) -> None:
        """Run all loops; the first that ends, by stop() or by a bug, ends the others."""
        loops = [self._compute_until_stopped(), self._reclaim_until_stopped()]
        loops += [self._claim_until_stopped(lane) for lane in self._lanes]
        running = [asyncio.create_task(loop) for loop in loops]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop()
            await asyncio.gather(*running)
            await asyncio.gather(*self._commits)

    async def _claim_until_stopped(self, lane: Lane) -> None:
        """Keep one lane filled: claim as many tasks as it has room for, as soon as it has any."""
        room = self._room[lane.stage]
        while not self._stopping.is_set():
            if lane.room == 0:
                room.clear()
                await room.wait()
                continue
            tasks = await self._patiently(
                self._queue.claim, self.name, lane.stage, lane.room, CLAIM_BLOCK_S
            )
            await self._accept(lane, tasks)

    async def _reclaim_until_stopped(self) -> None:
        """Take over what dead workers left."""
        while not self._stopping.is_set():
            for lane in self._lanes:
                if lane.room > 0:
                    tasks = await self._patiently(
                        self._queue.reclaim, self.name, [lane.stage], lane.room
                    )
                    await self._accept(lane, tasks)
            await self._pause(self._settings.lease_s / 2)

    async def _accept(self, lane: Lane, tasks: Sequence[Task]) -> None:
        for task in tasks:
            await self._patiently(lane.accept, task)
            self._work.set()

    async def _compute_until_stopped(self) -> None:
        """Let the lanes take turns in the compute thread."""
        while not self._stopping.is_set():
            lane = self._turns.next()
            if lane is None:
                self._work.clear()
                await self._work.wait()
            else:
                await self._compute_once(lane)
                self._room[lane.stage].set()

    async def _compute_once(self, lane: Lane) -> None:
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._compute, lane.compute)
        except Exception as error:
            log.exception("a step of stage %s failed", lane.stage)
            reason = JobError(code="stage_failed", message=f"stage {lane.stage}: {error}")
            await self._patiently(lane.fail_all, reason)
            return
        for outcome in outcomes:
            commit = asyncio.create_task(self._commit(lane, outcome))
            self._commits.add(commit)
            commit.add_done_callback(self._committed)

    async def _commit(self, lane: Lane, outcome: Outcome) -> None:
        """Beside the next step: the network need not wait for the commit of the last one."""
        await self._patiently(lane.commit, outcome)
        self._work.set()

    def _committed(self, commit: asyncio.Task[None]) -> None:
        """One that failed by a bug stays, ends the worker, and is raised by _serve()."""
        if commit.exception() is None:
            self._commits.discard(commit)
        else:
            self.stop()

    async def _patiently(
        self,
        operation: Callable[Arguments, Awaitable[Result]],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """Do it as soon as Redis is there; the queue's operations may be called again.

        Raises QueueUnavailable where the worker is told to stop meanwhile.
        """
        pause_s = SHORTEST_PAUSE_S
        while True:
            try:
                return await operation(*arguments, **named)
            except QueueUnavailable as error:
                if self._stopping.is_set():
                    raise
                log.warning("waiting for the queue, next try in %.1f s: %s", pause_s, error)
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not through stop()."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
