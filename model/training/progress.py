"""Tells how training goes: a bar on the terminal, a line in log.jsonl, scalars for TensorBoard.

Knows nothing of what is trained.
"""

import json
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from model.training.reports import Report


class Scalars:
    """TensorBoard's event files in a folder; nothing where TensorBoard is not installed."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._opened: Any = None

    @property
    def _writer(self) -> Any:
        """Opened with the first scalar; None where TensorBoard is not installed."""
        if self._opened is None and find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._opened = SummaryWriter(str(self._folder))
        return self._opened

    def add(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def add_image(self, name: str, pixels: Any, step: int) -> None:
        """pixels: uint8 [H, W, 3]."""
        if self._writer is not None:
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


class Told:
    """Reports of one run, shown and kept. A context: the bar stands while it is open.

    Where stderr is no terminal, each report is a line of text.
    """

    def __init__(self, name: str, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.scalars = Scalars(folder / "tensorboard")
        self._name = name
        self._log = folder / "log.jsonl"
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed} of {task.total}  {task.fields[told]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._bar: TaskID | None = None
        self._told_tenths = -1

    def __enter__(self) -> "Told":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
        self.scalars.close()

    def report(self, report: Report) -> None:
        told = f"loss {report.loss:.4f}  {report.images_per_s:.1f} images/s"
        if self._bar is None:
            self._bar = self._progress.add_task(self._name, total=report.steps, told=told)
        self._progress.update(self._bar, completed=report.step, told=told)
        if self._progress.disable:
            done = f"step {report.step} of {report.steps}"
            self.say(f"{self._name}: {done}, {told}, {report.left_s:.0f} s left")
        for name in ("loss", "error", "rate", "images_per_s"):
            self.scalars.add(name, getattr(report, name), report.step)
        self.keep(asdict(report))

    def count(self, done: int, total: int) -> None:
        """Of what is prepared before the first step; told ten times, where there is no bar."""
        if self._bar is None:
            self._bar = self._progress.add_task(self._name, total=total, told="")
        self._progress.update(self._bar, completed=done, total=total)
        tenth = done * 10 // total
        if self._progress.disable and tenth != self._told_tenths:
            self._told_tenths = tenth
            self.say(f"{self._name}: {done} of {total}")

    def look(self, step: int) -> None:
        """Nothing is looked at."""

    def keep(self, line: dict[str, Any]) -> None:
        """A line of log.jsonl."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def say(self, text: str) -> None:
        """A line on stderr, above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True)
