"""What the workers do, as they tell it line by line: what tests wait for instead of sleeping."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

LONGEST_WAIT_S = 60.0
"""For what is under way. Machines that run tests can be slow; nothing here takes so long."""


@dataclass(frozen=True)
class Event:
    """A worker did something, or something was done to it.

    what: started, claimed, committed, stored, handed_back, stopped, continued or exited; see
    tests/chaos/zygote.py for those of a process and tests/chaos/faults.py for those of its tasks.
    """

    what: str
    pid: int
    stage: str = ""
    tasks: tuple[str, ...] = ()
    effect: str = ""
    """Of a commit: DONE, REFUSED or UNWANTED."""
    status: int = 0
    """Of a process that exited: as subprocess has it, negative for a signal."""
    request: int = 0
    """Of a process that started: what it was asked with."""

    @classmethod
    def read(cls, line: bytes) -> Self:
        told: dict[str, Any] = json.loads(line)
        return cls(**{**told, "tasks": tuple(told.get("tasks", ()))})


def tell(descriptor: int, **event: Any) -> None:
    """One line, in one write: those of several processes do not mix."""
    os.write(descriptor, json.dumps({"pid": os.getpid(), **event}).encode() + b"\n")


@dataclass
class Events:
    """All that was told, in the order in which it happened."""

    history: list[Event] = field(default_factory=list[Event])
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: Event) -> None:
        self.history.append(event)
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """The first such event, also one that was told before. since: position in the history."""
        async with asyncio.timeout(LONGEST_WAIT_S):
            while True:
                news = self._news
                for event in self.history[since:]:
                    if wanted(event):
                        return event
                since = len(self.history)
                await news.wait()
