"""What can be seen on a terminal while pictures are drawn; nothing elsewhere."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

MOST_BARS = 8
"""Where there are more pictures, one bar is for all of them."""


@contextmanager
def waiting_for(words: str) -> Generator[None]:
    """A spinner with some words."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(words):
        yield


class Bars:
    """A bar for each picture. To be entered, and left before anything is printed."""

    def __init__(self, steps: Mapping[str, int], n: int) -> None:
        """steps: of each stage, in order. n: how many pictures there will be."""
        console = Console(stderr=True)
        self._before = dict(zip(steps, accumulate(steps.values(), initial=0), strict=False))
        self._steps = sum(steps.values())
        self._n = n
        self._done: dict[int, int] = {}
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,  # to the console, which is stderr
            redirect_stderr=False,
        )
        self._bar_of: dict[int, TaskID] = {}
        self._first = self._bars.add_task("begins", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def waits(self, words: str) -> None:
        """Nothing is being drawn yet."""
        self._bars.update(self._first, description=words)

    def at(self, index: int, stage: str, step: int) -> None:
        """A picture has done so many steps of the stage."""
        self._show(index, self._before[stage] + step, f"{stage} px")

    def done(self, index: int) -> None:
        """A picture is finished."""
        self._show(index, self._steps, "done")

    def _show(self, index: int, steps: int, words: str) -> None:
        self._bars.update(self._first, visible=False)
        self._done[index] = steps
        if self._n > MOST_BARS:
            finished = sum(done == self._steps for done in self._done.values())
            words = f"{finished} of {self._n} pictures"
            index, steps = 0, sum(self._done.values())
        elif self._n > 1:
            words = f"picture {index}, {words}"
        bar = self._bar_of.get(index)
        if bar is None:
            total = self._steps * (self._n if self._n > MOST_BARS else 1)
            bar = self._bar_of[index] = self._bars.add_task(words, total=total)
        self._bars.update(bar, description=words, completed=steps)
