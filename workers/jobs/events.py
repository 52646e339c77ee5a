"""Waits for jobs to end, without polling: one pub/sub connection serves every waiter."""

import asyncio
import logging
from collections import defaultdict
from types import TracebackType
from typing import Any, Self, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import Job
from workers.jobs.queue import Queue

SILENCE_S = 5.0
"""After so much silence the subscription is pinged; after as much again it counts as lost."""

RECONNECT_PAUSE_S = 0.5

log = logging.getLogger(__name__)


class JobWatcher:
    """Wakes those who wait for a job. Use as an async context manager, one per process."""

    def __init__(self, redis: Redis, queue: Queue) -> None:
        self._redis = redis
        self._queue = queue
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listener = asyncio.create_task(self._listen_for_ever(), name="job watcher")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Once is not enough: before Python 3.12, wait_for (redis-py sends through it) can lose a
        # cancellation.
        while self._listener is not None and not self._listener.done():
            self._listener.cancel()
            await asyncio.wait([self._listener], timeout=0.1)

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """The job when it has ended, or as it stands after `timeout_s`.

        Raises: JobNotFound, QueueUnavailable.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        woken = asyncio.Event()
        self._waiters[job_id].add(woken)
        try:
            in_time = True
            # Listen first, look second: an end between the two is not missed.
            while not (job := await self._queue.job(job_id)).status.terminal and in_time:
                in_time = await _set_before(woken, deadline_s)
                woken.clear()
            return job
        finally:
            self._forget(job_id, woken)

    def waiting(self, job_id: str) -> int:
        """How many wait for this job."""
        return len(self._waiters.get(job_id, ()))

    def _forget(self, job_id: str, woken: asyncio.Event) -> None:
        self._waiters[job_id].discard(woken)
        if not self._waiters[job_id]:
            del self._waiters[job_id]

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    with queue_errors():
                        await self._listen(subscription)
            except QueueUnavailable as error:
                log.warning("lost sight of ending jobs, subscribing again: %s", error)
                await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _listen(self, subscription: PubSub) -> None:
        """Wakes waiters until the subscription is lost."""
        await subscription.subscribe(keys.ended())
        pinged = False
        while True:
            message = cast(Any, await subscription.get_message(timeout=SILENCE_S))
            if message is None:
                if pinged:
                    raise QueueUnavailable("the subscription is silent")
                await subscription.ping()
            elif message["type"] == "subscribe":
                self._wake_all()
            elif message["type"] == "message":
                self._wake(message["data"].decode())
            pinged = message is None

    def _wake(self, job_id: str) -> None:
        for woken in self._waiters.get(job_id, ()):
            woken.set()

    def _wake_all(self) -> None:
        """A new subscription: what ended before it was not heard, so everyone looks again."""
        for job_id in self._waiters:
            self._wake(job_id)


async def _set_before(event: asyncio.Event, deadline_s: float) -> bool:
    """Waits for the event; False where the loop's clock reaches the deadline first."""
    try:
        async with asyncio.timeout_at(deadline_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
