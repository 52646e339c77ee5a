"""How training stands: what a Trainer tells, and to whom. Computes nothing but means."""

import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.training.config import Training


@dataclass(frozen=True)
class Report:
    """How training stands after a step: means since the report before.

    loss: of what is minimised; error: the plain mean squared error.
    """

    step: int
    steps: int
    batch: int
    loss: float
    error: float
    rate: float
    images_per_s: float

    @property
    def left_s(self) -> float:
        return (self.steps - self.step) * self.batch / self.images_per_s


class Watcher(Protocol):
    """Who is told how training goes, on the main process."""

    def report(self, report: Report) -> None: ...

    def look(self, step: int) -> float | None:
        """Look at the averaged weights, which are in place; their held-out error, if any."""
        ...

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        ...


class Since:
    """What happened since a step."""

    def __init__(self, step: int):
        self._step = step
        self._started = time.monotonic()
        self._sums = torch.zeros(2)

    def add(self, means: Tensor) -> None:
        """means: [2], the loss and the error of a step."""
        self._sums += means.cpu()

    def report(self, step: int, training: Training, scale: float) -> Report:
        steps, elapsed_s = step - self._step, time.monotonic() - self._started
        loss, error = (self._sums / max(steps, 1)).tolist()
        return Report(
            step=step,
            steps=training.steps,
            batch=training.batch,
            loss=loss,
            error=error,
            rate=training.rate * scale,
            images_per_s=steps * training.batch / max(elapsed_s, 1e-9),
        )
