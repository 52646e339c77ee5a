"""A task small enough to train in a moment: learn a linear map from examples with noise."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.training.config import Training
from model.training.loop import Trainer
from model.training.randomness import Draws
from model.training.reports import Report
from model.training.tasks import Errors

WIDTH = 4


class Points:
    """Examples: a point at each position. broken_from: at positions from there on it is NaN."""

    def __init__(self, broken_from: int | None = None):
        self._broken_from = broken_from

    def __getitem__(self, position: int) -> Tensor:
        point = torch.randn(WIDTH, generator=torch.Generator().manual_seed(position))
        is_broken = self._broken_from is not None and position >= self._broken_from
        return point * float("nan") if is_broken else point


class Regression(nn.Module):
    """The map to learn turns a point's numbers around."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.unet = nn.Sequential(self.linear, nn.Dropout(dropout))

    def forward(self, points: Tensor, draws: Draws) -> Errors:
        noisy = points + 0.1 * draws.strata[:, None] * draws.normal(WIDTH)
        plain = (self.unet(noisy) - points.flip(1)).square().mean(dim=1)
        return Errors(objective=2 * plain, plain=plain.detach())


class Watching:
    """Keeps what it is told. errors: what its looks find, one after the other."""

    def __init__(self, *errors: float) -> None:
        self.reports: list[Report] = []
        self.said: list[str] = []
        self.looks: list[int] = []
        self._errors = list(errors)

    @property
    def losses(self) -> dict[int, float]:
        return {report.step: report.loss for report in self.reports}

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def look(self, step: int) -> float | None:
        self.looks.append(step)
        return self._errors.pop(0) if self._errors else None

    def say(self, text: str) -> None:
        self.said.append(text)


class StopsAt(Watching):
    """Ctrl-C after a step."""

    def __init__(self, step: int):
        super().__init__()
        self._step = step

    def report(self, report: Report) -> None:
        super().report(report)
        if report.step == self._step:
            raise KeyboardInterrupt


def training(**changes: Any) -> Training:
    """Forty steps of ten, each reported."""
    usual = {
        "images": 400,
        "batch": 10,
        "rate": 0.01,
        "warmup_steps": 5,
        "precision": "no",
        "report_every_steps": 1,
        "look_every_steps": 10,
    }
    return Training.model_validate(usual | changes)


def new_trainer(folder: Path, told: Training, **more: Any) -> Trainer:
    given: dict[str, Any] = {"task": Regression(), "examples": Points(), "collate": torch.stack}
    return Trainer(training=told, folder=folder, **(given | more))


def weights(trainer: Trainer) -> list[Tensor]:
    """What is trained, and its averages."""
    trained = [weight.detach() for weight in trainer._trained().values()]
    return [*trained, *trainer._average.averages.values()]
