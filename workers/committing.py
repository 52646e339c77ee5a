"""Hands on what the lanes have made, beside the steps that follow."""

import asyncio
from collections.abc import Callable

from workers.jobs.errors import ImageStoreUnavailable
from workers.jobs.job import JobError, Task
from workers.jobs.queue import Queue
from workers.lane import Lane, Outcome
from workers.metrics import WorkerMetrics, timed
from workers.patience import Patience
from workers.storing import StoreWatch

MOST = 256
"""With so many results under way, no more work is taken."""

STORE_PATIENCE_S = 30.0
"""A picture that cannot be stored is kept for so long; then another worker may draw it again."""

STORE_PAUSE_S = 0.5


class Committer:
    """Commits run beside each other; one that fails by a bug stays, and is told by `ended`."""

    def __init__(
        self,
        worker: str,
        queue: Queue,
        patience: Patience,
        store: StoreWatch,
        max_deliveries: int,
        metrics: WorkerMetrics,
        ended: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """ended: called after each."""
        self._worker = worker
        self._queue = queue
        self._patience = patience
        self._store = store
        self._max_deliveries = max_deliveries
        self._metrics = metrics
        self._ended = ended
        self.under_way: set[asyncio.Task[None]] = set()

    @property
    def is_behind(self) -> bool:
        """Whether no more work should be taken."""
        return self._store.is_away or len(self.under_way) >= MOST

    def begin(self, lane: Lane, outcome: Outcome) -> None:
        commit = asyncio.create_task(self._commit(lane, outcome))
        self.under_way.add(commit)
        commit.add_done_callback(self._done)

    async def _commit(self, lane: Lane, outcome: Outcome) -> None:
        task, failure = outcome.task, outcome.failure
        if failure is not None:
            await self._patience(self._queue.fail, task, self._worker, failure)
            return
        clock = asyncio.get_running_loop().time
        until_s: float | None = None
        while not await self._hand_on(lane, outcome):
            until_s = until_s or clock() + STORE_PATIENCE_S
            if self._patience.is_over:
                return  # to be handed back
            if clock() >= until_s:
                await self._let_others_store(task)
                return
            await self._patience.pause(STORE_PAUSE_S)

    async def _hand_on(self, lane: Lane, outcome: Outcome) -> bool:
        """False where the image store is away."""
        try:
            with timed(self._metrics.commit_seconds.labels(lane.stage)):
                await self._patience(lane.commit, outcome)
        except ImageStoreUnavailable as error:
            self._store.report(error)
            return False
        return True

    async def _let_others_store(self, task: Task) -> None:
        """Unless as many as may have tried."""
        if task.deliveries < self._max_deliveries:
            await self._patience(self._queue.hand_back, self._worker, [task], counted=True)
            return
        message = f"{task.deliveries} workers could not store the image: {self._store.trouble}"
        reason = JobError(code="image_store", message=message)
        await self._patience(self._queue.fail, task, self._worker, reason)

    def _done(self, commit: asyncio.Task[None]) -> None:
        if commit.cancelled() or commit.exception() is None:
            self.under_way.discard(commit)
        self._ended(commit)
