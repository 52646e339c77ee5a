"""What can happen to a worker from inside its process: it strikes itself at a given moment.

Whoever shares a folder with the workers lays a trap there, a file that names a moment; the first
worker that comes to it takes the file away and sends itself the signal. Knows no processes.
"""

import os
import resource
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from model.stage import Stage
from tests.chaos.events import tell
from workers import committing, storing
from workers.diffusion_lane import DiffusionLane
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.job import Task
from workers.jobs.queue import Effect, Queue
from workers.text_lane import TextLane

POISON = "poison"
"""A prompt that kills every worker that steps it."""


class Moment(StrEnum):
    """In the life of a task at a stage, from claim to commit."""

    CLAIMED = "claimed"
    STEPPING = "stepping"
    """A denoising step is under way. Not at the text stage."""
    DRAWN = "drawn"
    """The stage's output is there and not committed."""
    STORED = "stored"
    """A picture is in the image store and not in the record. Its stage is not told: ''."""
    COMMITTED = "committed"
    """The queue has it, and the worker does not know yet."""


@dataclass(frozen=True)
class Traps:
    """A folder that says what shall happen to workers."""

    folder: Path

    def lay(self, moment: Moment, stage: str, number: signal.Signals) -> Path:
        """The next worker that comes to the moment has the signal. Returns what it takes away."""
        trap = self._trap(moment, stage, number)
        trap.touch()
        return trap

    def step_into(self, moment: Moment, stage: str) -> None:
        """Called by a worker at the moment."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            with suppress(FileNotFoundError):
                self._trap(moment, stage, number).unlink()
                os.kill(os.getpid(), number)

    def clear(self) -> None:
        for trap in self.folder.iterdir():
            trap.unlink()

    @property
    def full_store(self) -> Path:
        """As long as this is there, the image store takes no bytes."""
        return self.folder / "full_store"

    @property
    def no_pictures(self) -> Path:
        """As long as this is there, it seems to take bytes, but takes no pictures."""
        return self.folder / "no_pictures"

    def _trap(self, moment: Moment, stage: str, number: signal.Signals) -> Path:
        return self.folder / f"{moment}-{stage}-{number.name}"


def set_up(traps: Traps, descriptor: int, store_patience_s: float) -> None:
    """For the worker that this process will run. descriptor: where it tells what it does."""
    committing.STORE_PATIENCE_S = store_patience_s
    storing.CHECK_PAUSE_S = min(store_patience_s, storing.CHECK_PAUSE_S)
    _be_poisoned()
    _tell_of_tasks(descriptor)  # first, so that it is told before the process is struck
    _fill_store(traps, descriptor)
    _step_into(traps)


def _be_poisoned() -> None:
    def look(lane: DiffusionLane) -> None:
        if any(task.parameters.prompt == POISON for task in list(lane._tasks.values())):
            os.kill(os.getpid(), signal.SIGKILL)

    _before(DiffusionLane, "compute", look)


def _tell_of_tasks(descriptor: int) -> None:
    def claimed(
        tasks: list[Task], queue: Queue, worker: str, stage: str, *_: Any, **__: Any
    ) -> None:
        if tasks:
            tell(descriptor, what="claimed", stage=stage, tasks=[task.name for task in tasks])

    def committed(effect: bool | Effect, queue: Queue, task: Task, *_: Any) -> None:
        done = effect if isinstance(effect, Effect) else Effect(int(effect))
        told = {"stage": task.stage, "tasks": [task.name], "effect": done.name}
        tell(descriptor, what="committed", **told)

    def handed_back(_: None, queue: Queue, worker: str, tasks: Iterable[Task], **__: Any) -> None:
        for task in tasks:
            tell(descriptor, what="handed_back", stage=task.stage, tasks=[task.name])

    def serving(_: None, heartbeat: Heartbeat) -> None:
        tell(descriptor, what="serving")

    _after(Heartbeat, "start", serving)
    _after(Queue, "claim", claimed)
    for commit in ("commit_text", "commit", "finish"):
        _after(Queue, commit, committed)
    _after(Queue, "hand_back", handed_back)


def _step_into(traps: Traps) -> None:
    def claimed(
        tasks: list[Task], queue: Queue, worker: str, stage: str, *_: Any, **__: Any
    ) -> None:
        if tasks:
            traps.step_into(Moment.CLAIMED, stage)

    def stepping(stage: Stage, trajectories: Any) -> None:
        traps.step_into(Moment.STEPPING, stage.spec.name)

    def drawn(lane: DiffusionLane | TextLane, outcome: Any) -> None:
        traps.step_into(Moment.DRAWN, lane.stage)

    def committed(effect: bool | Effect, queue: Queue, task: Task, *_: Any) -> None:
        traps.step_into(Moment.COMMITTED, task.stage)

    def stored(data: bytes, store: FolderImageStore, path: str, *_: Any) -> None:
        traps.step_into(Moment.STORED, "")

    _after(Queue, "claim", claimed)
    _before(Stage, "step", stepping)
    _before(DiffusionLane, "commit", drawn)
    _before(TextLane, "commit", drawn)
    _after(FolderImageStore, "put", stored)
    for commit in ("commit_text", "commit", "finish"):
        _after(Queue, commit, committed)


def _fill_store(traps: Traps, descriptor: int) -> None:
    """A real write to a real file fails, by a limit on their size: EFBIG stands for ENOSPC."""
    put, check, one_at_a_time = FolderImageStore.put, FolderImageStore.check, threading.Lock()

    @contextmanager
    def limited_by(*laid: Path) -> Generator[None]:
        with one_at_a_time:
            _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            if any(trap.exists() for trap in laid):
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def limited_put(store: FolderImageStore, path: str, data: bytes) -> bytes:
        tell(descriptor, what="storing", tasks=[path])
        try:
            with limited_by(traps.full_store, traps.no_pictures):
                return put(store, path, data)
        except OSError:
            tell(descriptor, what="not_stored", tasks=[path])
            raise

    def limited_check(store: FolderImageStore) -> None:
        with limited_by(traps.full_store):
            check(store)

    _replace(FolderImageStore, "put", limited_put)
    _replace(FolderImageStore, "check", limited_check)


def _before(owner: type, name: str, look: Callable[..., None]) -> None:
    """Calls `look` with what the method is about to be called with."""
    original = getattr(owner, name)

    def method(*arguments: Any, **named: Any) -> Any:
        look(*arguments, **named)
        return original(*arguments, **named)

    _replace(owner, name, method)


def _after(owner: type, name: str, look: Callable[..., None]) -> None:
    """Calls `look` with what the method returned and was called with, before its caller has it."""
    original = getattr(owner, name)

    def method(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        look(result, *arguments, **named)
        return result

    async def async_method(*arguments: Any, **named: Any) -> Any:
        result = await original(*arguments, **named)
        look(result, *arguments, **named)
        return result

    _replace(owner, name, async_method if iscoroutinefunction(original) else method)


def _replace(owner: type, name: str, method: Callable[..., Any]) -> None:
    setattr(owner, name, method)
