"""Workers as processes: started in milliseconds, struck, awaited, and replaced when they die."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from tests.chaos.events import Event, Events
from tests.chaos.faults import Traps
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]

STORE_PATIENCE_S = 30.0


class Workers:
    """Children of a zygote, by process id. Use `open_workers`."""

    def __init__(self, zygote: asyncio.subprocess.Process, traps: Traps) -> None:
        self.events = Events()
        self.traps = traps
        self._zygote = zygote
        self._requests = count(1)
        self._living: dict[int, None] = {}
        self._kept: dict[int, WorkerSettings] = {}
        self._to_be_kept: dict[int, WorkerSettings] = {}
        """By request."""
        self._replacements: set[asyncio.Task[int]] = set()

    async def start(
        self, settings: WorkerSettings, store_patience_s: float = STORE_PATIENCE_S
    ) -> int:
        """A new worker, which may not serve yet."""
        return await self._start(next(self._requests), settings, store_patience_s)

    async def keep(self, settings: WorkerSettings) -> int:
        """A new worker that is replaced when it ends by anything but stop()."""
        request = next(self._requests)
        self._to_be_kept[request] = settings
        return await self._start(request, settings)

    @property
    def living(self) -> list[int]:
        """The oldest first."""
        return list(self._living)

    @property
    def kept(self) -> list[int]:
        """The oldest first."""
        return list(self._kept)

    def send(self, pid: int, number: signal.Signals) -> None:
        """To a worker that has ended it does nothing."""
        self._ask(pid=pid, signal=number)

    async def stop(self, *pids: int) -> None:
        """SIGTERM, and wait until they have ended in good order. They are not replaced."""
        for pid in pids:
            self._kept.pop(pid, None)
        await asyncio.gather(*(self.terminate(pid) for pid in pids))

    async def terminate(self, pid: int) -> None:
        """SIGTERM, and wait until it has ended in good order."""
        await self.until("serving", pid)  # before, the signal just kills it
        self.send(pid, signal.SIGTERM)
        exited = await self.exited(pid)
        assert exited.status == 0, f"a worker did not stop in good order: {exited}"

    async def stop_all(self) -> None:
        """All that live."""
        await asyncio.gather(*self._replacements)
        await self.stop(*self._living)

    async def kill_all(self) -> None:
        """All that live, also those that are stopped."""
        await asyncio.gather(*self._replacements)
        self._kept.clear()
        living = list(self._living)
        for pid in living:
            self.send(pid, signal.SIGKILL)
        for pid in living:
            await self.exited(pid)

    def history_of(self, task: str, stage: str) -> list[tuple[str, int]]:
        """What was done with it, and by whom."""
        return [
            (event.what, event.pid)
            for event in self.events.history
            if event.stage == stage and task in event.tasks
        ]

    def held_by(self, pid: int, stage: str) -> set[str]:
        """The tasks that it has claimed there and not committed."""
        held: set[str] = set()
        for event in self.events.history:
            if (event.pid, event.stage) == (pid, stage):
                if event.what == "claimed":
                    held |= set(event.tasks)
                else:
                    held -= set(event.tasks)
        return held

    async def exited(self, pid: int) -> Event:
        return await self.until("exited", pid)

    async def until(
        self, what: str, pid: int | None = None, stage: str | None = None, since: int = 0
    ) -> Event:
        """The first such event, of this worker or of any, at this stage or at any."""
        return await self.events.until(
            lambda event: (
                event.what == what and pid in (None, event.pid) and stage in (None, event.stage)
            ),
            since,
        )

    async def read_events(self) -> None:
        """Until the zygote has ended."""
        assert self._zygote.stdout is not None
        while line := await self._zygote.stdout.readline():
            event = Event.read(line)
            self.events.add(event)
            if event.what == "started":
                self._living[event.pid] = None
                if event.request in self._to_be_kept:
                    self._kept[event.pid] = self._to_be_kept.pop(event.request)
            elif event.what == "exited":
                del self._living[event.pid]
                if event.pid in self._kept:
                    self._replace(self._kept.pop(event.pid))

    def _replace(self, settings: WorkerSettings) -> None:
        replacement = asyncio.create_task(self.keep(settings))
        self._replacements.add(replacement)
        replacement.add_done_callback(self._replacements.discard)

    async def _start(
        self,
        request: int,
        settings: WorkerSettings,
        store_patience_s: float = STORE_PATIENCE_S,
    ) -> int:
        self._ask(
            request=request,
            settings=settings.model_dump(mode="json"),
            store_patience_s=store_patience_s,
        )
        return (await self.events.until(lambda event: event.request == request)).pid

    def _ask(self, **asked: Any) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(asked).encode() + b"\n")


@asynccontextmanager
async def open_workers(
    settings: WorkerSettings, traps: Traps, log: BinaryIO
) -> AsyncGenerator[Workers]:
    """None yet; those that are left at the end are killed. settings: those of the cascade count."""
    zygote = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.zygote"),
        *(settings.model_dump_json(), str(traps.folder)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=log,
        cwd=ROOT,
    )
    workers = Workers(zygote, traps)
    reading = asyncio.create_task(workers.read_events())
    try:
        yield workers
    finally:
        assert zygote.stdin is not None
        zygote.stdin.close()  # which it takes for the end
        await reading
        await zygote.wait()
