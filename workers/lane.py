"""A lane: one stage as a worker serves it, from claimed task to committed result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from workers.jobs.job import JobError, Task


@dataclass(frozen=True)
class Outcome:
    """What computing made of a task; the lane that made it knows how to commit it.

    failure: why there is no output.
    """

    task: Task
    output: Any = None
    failure: JobError | None = None


class Lane(Protocol):
    """`compute` runs in the compute thread, everything else in the event loop."""

    stage: str

    @property
    def room(self) -> int:
        """How many more tasks it can take."""
        ...

    @property
    def has_work(self) -> bool:
        """Whether compute() has something to do."""
        ...

    async def accept(self, task: Task) -> None:
        """Fetch what the task needs and take it in."""
        ...

    def compute(self) -> list[Outcome]:
        """One step of everything taken in; the tasks that are done with it, or failed in it."""
        ...

    async def commit(self, outcome: Outcome) -> None:
        """Hand an output on; one that no longer counts is dropped. May be called again.

        Raises: ImageStoreUnavailable, QueueUnavailable.
        """
        ...

    def drop(self, unwanted: Callable[[Task], bool]) -> None:
        """Let go of tasks that no longer count, before the next step."""
        ...
