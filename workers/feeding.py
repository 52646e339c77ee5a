"""Keeps a worker's lanes filled: claims tasks, takes over from the dead, drops what is lost."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from workers.committing import Committer
from workers.jobs.announcements import Listener
from workers.jobs.job import Task
from workers.jobs.queue import Queue
from workers.lane import Lane
from workers.patience import Patience
from workers.settings import WorkerSettings

LONGEST_SLEEP_S = 1.0
"""An announcement may be lost with its connection; the queue is asked as often at the least."""

log = logging.getLogger(__name__)


class Feeder:
    """One per worker; `feed` runs once for each lane.

    A task that has been delivered almost too often, since its workers died, is drawn with nothing
    beside it: if it is what killed them, no other task is blamed with it.
    """

    def __init__(
        self,
        worker: str,
        lanes: Sequence[Lane],
        queue: Queue,
        settings: WorkerSettings,
        patience: Patience,
        committer: Committer,
    ) -> None:
        self._worker = worker
        self._lanes = tuple(lanes)
        self._queue = queue
        self._settings = settings
        self._patience = patience
        self._committer = committer
        self._attention = {lane.stage: asyncio.Event() for lane in lanes}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._claiming = asyncio.Lock()

    def wake(self, lane: Lane) -> None:
        """The lane may have room, or the queue a task for it."""
        self._attention[lane.stage].set()

    def wake_all(self) -> None:
        """Let every loop look whether it shall stop."""
        for event in (*self._attention.values(), self._work, self._idle):
            event.set()

    def look_again(self) -> None:
        """Something was handed on: there may be room, or work that it has left."""
        for lane in self._lanes:
            self.wake(lane)
        if any(lane.has_work for lane in self._lanes):
            self._begin()

    def arrived(self, lane: Lane) -> Listener:
        """For keys.arrived() of the lane's stage."""
        return lambda _: self.wake(lane)

    async def work(self) -> None:
        """Wait until a lane may have something to compute. Only called where none has."""
        self._idle.set()
        self._work.clear()
        if not self._patience.is_over and not any(lane.has_work for lane in self._lanes):
            await self._work.wait()

    async def feed(self, lane: Lane) -> None:
        """Claim as many tasks as the lane has room for, as soon as it has any, until stopped."""
        attention = self._attention[lane.stage]
        clock = asyncio.get_running_loop().time
        look_at_s = 0.0
        while not self._patience.is_over:
            if clock() >= look_at_s:
                await self._take_over(lane)
                look_at_s = clock() + self._settings.lease_s / 2
            attention.clear()
            has_room = lane.room > 0 and not self._committer.is_behind
            if not has_room or not await self._claim(lane):
                sleep_s = min(look_at_s - clock(), LONGEST_SLEEP_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(attention.wait(), sleep_s)

    async def _take_over(self, lane: Lane) -> None:
        lost = {
            task.key for task in await self._patience(self._queue.reclaim, self._worker, lane.stage)
        }
        if lost:
            log.info("stage %s: %d tasks are settled, or others have them", lane.stage, len(lost))
            lane.drop(lambda task: task.key in lost)

    async def _claim(self, lane: Lane) -> bool:
        """False where the queue had none."""
        async with self._claiming:
            tasks = await self._patience(
                self._queue.claim, self._worker, lane.stage, lane.room, beside=True
            )
            suspects = [task for task in tasks if self._is_suspect(task)]
            if suspects:  # whose delivery was not counted, so is not to be taken off
                await self._patience(self._queue.hand_back, self._worker, suspects, counted=True)
            await self._accept(lane, [task for task in tasks if task not in suspects])
            if suspects:
                await self._draw_one_alone(lane)
        return bool(tasks)

    async def _draw_one_alone(self, lane: Lane) -> None:
        """Holding the lock: no other lane takes in anything meanwhile."""
        await self._until_nothing_is_left()
        if not self._patience.is_over:
            tasks = await self._patience(self._queue.claim, self._worker, lane.stage, 1)
            await self._accept(lane, tasks)
            if not self._patience.is_over:  # meanwhile: no one would tell that it is idle
                await self._until_nothing_is_left()

    async def _until_nothing_is_left(self) -> None:
        """Neither to compute nor to hand on: what is not recorded yet would be blamed as well."""
        await self._idle.wait()
        while self._committer.under_way and not self._patience.is_over:
            await asyncio.wait(list(self._committer.under_way))
            await self._idle.wait()

    async def _accept(self, lane: Lane, tasks: Sequence[Task]) -> None:
        for task in tasks:
            await self._patience(lane.accept, task)
            self._begin()

    def _begin(self) -> None:
        self._idle.clear()
        self._work.set()

    def _is_suspect(self, task: Task) -> bool:
        return 1 < self._settings.max_deliveries <= task.deliveries
