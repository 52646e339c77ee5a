"""Rates against closed forms, and which weights are stepped how."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from model.training.config import Training
from model.training.muon import Muon
from model.training.optimizers import new_optimizers, rate_scale, set_rates
from tests.model.training.regression import training

STEPS, WARMUP = 40, 5

FALLS: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: math.cos(math.pi / 2 * done) ** 2,
    "trapezoid": lambda done: 1 if done < 0.75 else 4 - 4 * done,
}


@pytest.mark.parametrize("schedule", FALLS)
@pytest.mark.parametrize("warmup", [0, WARMUP])
def test_rates_rise_and_fall(schedule: str, warmup: int) -> None:
    told = training(schedule=schedule, warmup_steps=warmup)
    assert told.steps == STEPS
    for step in range(STEPS + 1):
        rise = min(1, (step + 1) / warmup) if warmup else 1
        expected = rise * FALLS[schedule](step / STEPS)
        assert rate_scale(told, step) == pytest.approx(expected, abs=1e-6)


def test_each_group_keeps_its_own_rate() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizers = new_optimizers(network, training(rate=0.25, muon_rate=0.5))
    for scale in (1.0, 0.5, 0.1):
        set_rates(optimizers, scale)
        assert [each.param_groups[0]["lr"] for each in optimizers] == [0.5 * scale, 0.25 * scale]


class Network(nn.Module):
    """Names as in a U-Net and in T5."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, 4, 3)
        self.mid = nn.Conv2d(4, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.conv_out = nn.Conv2d(4, 3, 3)
        self.shared = nn.Embedding(5, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def stepped(told: Training) -> dict[type, set[str]]:
    network = Network()
    names = {id(weight): name for name, weight in network.named_parameters()}
    return {
        type(optimizer): {
            names[id(weight)] for group in optimizer.param_groups for weight in group["params"]
        }
        for optimizer in new_optimizers(network, told)
    }


def test_muon_steps_hidden_layers_and_adam_the_rest() -> None:
    hidden = {"mid.weight"}
    others = {name for name, _ in Network().named_parameters() if "frozen" not in name}
    assert stepped(training()) == {torch.optim.AdamW: others}
    assert stepped(training(muon_rate=0.1)) == {Muon: hidden, torch.optim.AdamW: others - hidden}


def test_where_all_is_hidden_muon_steps_alone() -> None:
    (only,) = new_optimizers(nn.Linear(2, 2, bias=False), training(muon_rate=0.5))
    assert isinstance(only, Muon)
