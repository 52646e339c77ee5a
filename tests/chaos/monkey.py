"""Breaks one thing after another, and waits until it has happened."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

from redis import exceptions

from tests.chaos.clients import Clients, Plan, any_story
from tests.chaos.faults import Moment
from tests.chaos.service import LEASE_S, POLL_S, Service
from workers.jobs import keys


class Fault(StrEnum):
    """What can be broken, in words."""

    KILLED_AFTER_CLAIM = "worker killed after a claim"
    KILLED_IN_STEP = "worker killed in a step"
    KILLED_BEFORE_COMMIT = "worker killed before a commit"
    KILLED_BEFORE_RECORD = "worker killed between store and record"
    KILLED_AFTER_COMMIT = "worker killed after a commit"
    KILLED = "worker killed from outside"
    ALL_KILLED = "all workers killed"
    STOPPED = "worker stopped beyond its lease"
    OVERTAKEN = "worker stopped before a commit until others have the task"
    TERMINATED = "worker told to stop"
    QUEUE_KILLED = "queue killed"
    QUEUE_STOPPED = "queue stopped"
    API_KILLED = "API killed"
    STORE_FULL = "image store full"
    POISONED = "poison asked for"


MOMENTS = {
    Fault.KILLED_AFTER_CLAIM: (Moment.CLAIMED, ("text", "8", "16")),
    Fault.KILLED_IN_STEP: (Moment.STEPPING, ("8", "16")),
    Fault.KILLED_BEFORE_COMMIT: (Moment.DRAWN, ("text", "8", "16")),
    Fault.KILLED_BEFORE_RECORD: (Moment.STORED, ("",)),
    Fault.KILLED_AFTER_COMMIT: (Moment.COMMITTED, ("text", "8", "16")),
}
"""At which moment of which stage."""

BESIDE = (Fault.QUEUE_KILLED, Fault.QUEUE_STOPPED, Fault.API_KILLED, Fault.STORE_FULL)
"""Happen to no worker, and so may happen while one does that does."""


class Monkey:
    """Strikes the workers that are kept; what it breaks comes back."""

    def __init__(self, service: Service, clients: Clients, rng: random.Random) -> None:
        self._service = service
        self._workers = service.workers
        self._clients = clients
        self._rng = rng

    async def cause(self, fault: Fault) -> None:
        """Returns when it has happened, and what was away is there again."""
        await self._until_no_task_was_lost_twice()
        match fault:
            case Fault.KILLED:
                await self._kill(self._rng.choice(self._workers.kept))
            case Fault.ALL_KILLED:
                await self._kill(*self._workers.kept)
            case Fault.STOPPED:
                await self._stop()
            case Fault.OVERTAKEN:
                await self._overtake()
            case Fault.TERMINATED:
                await self._terminate()
            case Fault.QUEUE_KILLED:
                await self._kill_queue()
            case Fault.QUEUE_STOPPED:
                await self._stop_queue()
            case Fault.API_KILLED:
                await self._kill_api()
            case Fault.STORE_FULL:
                await self._fill_store()
            case Fault.POISONED:
                await self._clients.live(any_story(Plan.POISON, self._rng))
            case _:
                await self._kill_at(*MOMENTS[fault])

    async def _kill_at(self, moment: Moment, stages: Sequence[str]) -> None:
        async with self._work() as since:
            self._workers.traps.lay(moment, self._rng.choice(stages), signal.SIGKILL)
            await self._workers.until("exited", since=since)

    async def _kill(self, *pids: int) -> None:
        async with self._work() as since:
            await asyncio.sleep(self._rng.uniform(0, 0.3))  # wherever the work then is
            for pid in pids:
                self._workers.send(pid, signal.SIGKILL)
            for pid in pids:
                await self._workers.until("exited", pid, since=since)

    async def _stop(self) -> None:
        async with self._work() as since:
            pid = self._rng.choice(self._workers.kept)
            self._workers.send(pid, signal.SIGSTOP)
            await self._workers.until("stopped", pid, since=since)
            await asyncio.sleep(LEASE_S * self._rng.uniform(1.1, 2.5))  # others take over
            self._workers.send(pid, signal.SIGCONT)

    async def _overtake(self) -> None:
        async with self._work() as since:
            stage = self._rng.choice(("8", "16"))
            self._workers.traps.lay(Moment.DRAWN, stage, signal.SIGSTOP)
            pid = (await self._workers.until("stopped", since=since)).pid
            # Not for ever, since the task's job may have ended meanwhile.
            with suppress(TimeoutError):
                async with asyncio.timeout(3 * LEASE_S):
                    await self._workers.events.until(
                        lambda event: (
                            event.what == "claimed"
                            and event.pid != pid
                            and not self._workers.held_by(pid, stage).isdisjoint(event.tasks)
                        ),
                        since,
                    )
            self._workers.send(pid, signal.SIGCONT)

    async def _terminate(self) -> None:
        async with self._work():
            await self._workers.terminate(self._rng.choice(self._workers.kept))

    async def _kill_queue(self) -> None:
        async with self._work():
            await asyncio.sleep(self._rng.uniform(0, 0.3))
            self._service.kill_queue()
            await asyncio.sleep(self._rng.uniform(0, 2 * LEASE_S))  # it is away for so long
            self._service.start_queue()

    async def _stop_queue(self) -> None:
        async with self._work():
            await asyncio.sleep(self._rng.uniform(0, 0.3))
            self._service.signal_queue(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(0, 2 * LEASE_S))  # it answers no one for so long
            self._service.signal_queue(signal.SIGCONT)

    async def _kill_api(self) -> None:
        async with self._work():
            await asyncio.sleep(self._rng.uniform(0, 0.3))
            api = self._rng.choice(self._service.apis)
            await api.kill()
            await api.start()

    async def _fill_store(self) -> None:
        async with self._work() as since:
            self._workers.traps.full_store.touch()
            await self._workers.until("not_stored", since=since)
            await asyncio.sleep(self._rng.uniform(0, 2))  # it is full for so long
            self._workers.traps.full_store.unlink()

    @asynccontextmanager
    async def _work(self) -> AsyncGenerator[int]:
        """A job that comes by every moment of every stage, and ends. Yields where events begin."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clients.live(any_story(Plan.WAIT, self._rng, size=16)))
            yield len(self._workers.events.history)

    async def _until_no_task_was_lost_twice(self) -> None:
        """One that is lost once more may be given up, as the service says: no fault of its own."""
        while any(deliveries > 1 for deliveries in await self._deliveries()):
            await asyncio.sleep(POLL_S)

    async def _deliveries(self) -> list[int]:
        """Of each task that is not settled; as good as many while the queue is away."""
        living = [story.job_id for story in self._clients.stories if story.is_under_way]
        pipeline = self._service.redis.pipeline(transaction=False)
        for job_id in living:
            pipeline.hgetall(keys.job(job_id))
        try:
            records = await pipeline.execute()
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            return [sys.maxsize]
        return [
            int(value)
            for record in records
            for field, value in record.items()
            if field.startswith(b"deliveries:")
        ]
