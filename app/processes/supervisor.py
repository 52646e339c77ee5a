"""Keeps child processes running until it is told to stop, then leaves none behind.

Knows nothing of what the children do.
"""

import asyncio
import logging
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.processes.parent_death import dies_with_parent
from workers.jobs.errors import ImagenError

WRONG_USAGE = 2
"""The exit status of a program that was told something it cannot do."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What to run. environment: added to our own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class RestartPolicy:
    """The pause before a restart doubles with each, and is short again after a healthy life."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    healthy_after_s: float = 60.0

    def next_pause_s(self, last_pause_s: float, lived_s: float) -> float:
        """last_pause_s: 0 before the first restart."""
        if last_pause_s == 0 or lived_s >= self.healthy_after_s:
            return self.first_pause_s
        return min(last_pause_s * 2, self.longest_pause_s)


class ProgramRefused(ImagenError):
    """A program ended with the status for wrong usage: to start it again would change nothing."""


class Supervisor:
    """Starts its programs in order, restarts those that end, and stops them in the same order.

    Each child has a session of its own, so that Ctrl-C in a terminal reaches only us; on Linux it
    is killed when we are. Output goes where ours goes.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        grace_s: float = 10.0,
        restarts: RestartPolicy | None = None,
    ) -> None:
        self._programs = programs
        self._grace_s = grace_s
        self._restarts = restarts or RestartPolicy()
        self._running: dict[str, Process] = {}
        self._stop = asyncio.Event()

    def request_stop(self) -> None:
        """Once: stop each child within the grace period. Again: kill those that are left."""
        if self._stop.is_set():
            log.warning("stopping at once")
            self._kill_all()
        else:
            log.info("stopping; Ctrl-C again stops at once")
        self._stop.set()

    async def run(self) -> None:
        """Returns, or raises, when every child has ended.

        Raises: ProgramRefused, or OSError where a program cannot be started.
        """
        keepers = [asyncio.create_task(self._keep(program)) for program in self._programs]
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()
            await self._stop_all(keepers)
            stopping.cancel()
        await asyncio.gather(*keepers)

    async def _keep(self, program: Program) -> None:
        """Run the program again and again until we stop."""
        pause_s = 0.0
        while not self._stop.is_set():
            started = time.monotonic()
            process = await self._start(program)
            status = await process.wait()
            del self._running[program.name]
            if self._stop.is_set():
                return
            if status == WRONG_USAGE:
                raise ProgramRefused(f"{program.name} cannot start: its message above says why")
            pause_s = self._restarts.next_pause_s(pause_s, time.monotonic() - started)
            log.warning("%s %s; restarting it in %.1f s", program.name, _ending(status), pause_s)
            await self._pause(pause_s)

    async def _start(self, program: Program) -> Process:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **program.environment},
            start_new_session=True,
            # Not SIGTERM: with us the queue may have gone, and a worker would wait for it.
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
        self._running[program.name] = process
        if self._stop.is_set():  # meanwhile; it has begun nothing that it could finish
            process.kill()
        return process

    async def _pause(self, pause_s: float) -> None:
        """Wait, but not once we stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), pause_s)
        except TimeoutError:
            return

    async def _stop_all(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """One program after another, since the next may still serve the one before."""
        try:
            async with asyncio.timeout(self._grace_s):
                for program, keeper in zip(self._programs, keepers, strict=True):
                    self._signal(program.name, signal.SIGTERM)
                    await asyncio.wait([keeper])
        except TimeoutError:
            left = ", ".join(self._running)
            log.warning("still running after %g s, killed: %s", self._grace_s, left)
        finally:
            self._kill_all()
            await asyncio.wait(keepers)

    def _kill_all(self) -> None:
        for name in tuple(self._running):
            self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> None:
        process = self._running.get(name)
        if process is not None and process.returncode is None:
            process.send_signal(number)


def _ending(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
