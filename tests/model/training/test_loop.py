"""The loop on a regression small enough to run in a moment."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from model.training.loop import Losses, Trainer, TrainingConfig

CONFIG = TrainingConfig(images=400, batch=10, warmup_steps=5, log_every_steps=10)


class Regression:
    """Learn a linear map; can be told to break or stop at a step."""

    def __init__(self, stop_at: int | None = None, nan_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.networks: dict[str, nn.Module] = {"unet": nn.Linear(4, 4)}
        self._target = torch.eye(4).flip(0)
        self._stop_at = stop_at
        self._nan_at = nan_at
        self._calls = 0

    def losses(self, batch: int, generator: torch.Generator) -> Losses:
        if self._calls == self._stop_at:
            raise KeyboardInterrupt
        x = torch.randn(batch, 4, generator=generator)
        loss = (self.networks["unet"](x) - x @ self._target).square().mean()
        if self._calls == self._nan_at:
            loss = loss * float("nan")
        self._calls += 1
        return Losses(objective=loss, v_loss=float(loss.detach()))


def test_the_loss_falls_and_is_logged(tmp_path: Path) -> None:
    Trainer(Regression(), CONFIG, tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert lines[-1]["v_loss"] < lines[0]["v_loss"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = Trainer(Regression(), CONFIG, tmp_path / "whole")
    whole.run()
    stopped = Trainer(Regression(stop_at=17), CONFIG, tmp_path / "parts")
    stopped.run()
    resumed = Trainer(Regression(), CONFIG, tmp_path / "parts")
    resumed.run()
    for name, weight in whole.weights["unet"]:
        torch.testing.assert_close(resumed.weights["unet"].masters[name], weight)
        average = whole.averages["unet"].averages[name]
        torch.testing.assert_close(resumed.averages["unet"].averages[name], average)


def test_a_loss_that_is_not_finite_stops_with_the_step_named(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="nan at step 3"):
        Trainer(Regression(nan_at=3), CONFIG, tmp_path).run()


def test_the_rate_rises_and_falls_to_zero() -> None:
    config = TrainingConfig(images=1000, batch=10, warmup_steps=10)
    assert config.rate_scale(0) == pytest.approx(0.1)
    assert config.rate_scale(10) == pytest.approx(0.9)
    assert config.rate_scale(100) == 0
