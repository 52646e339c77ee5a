"""Averaged weights against a plain loop."""

import pytest
import torch
from torch import nn

from model.training.ema import AveragedWeights


def test_averages_are_those_of_a_plain_loop() -> None:
    network = nn.Linear(2, 2).to(torch.bfloat16)
    averages = AveragedWeights(network, decay=0.6)
    expected = network.weight.detach().double()
    for step in range(1, 60):
        with torch.no_grad():
            network.weight.copy_(torch.randn(2, 2))
        averages.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach().double()
    torch.testing.assert_close(averages.averages["weight"].double(), expected, rtol=1e-5, atol=1e-6)
    assert averages.averages["weight"].dtype is torch.float32


def test_they_are_in_place_for_a_while_also_where_that_fails() -> None:
    network = nn.Linear(2, 2)
    averages = AveragedWeights(network, decay=0.9)
    first = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.zero_()
    with averages.in_place():
        assert torch.equal(network.weight, first)
    with pytest.raises(ZeroDivisionError), averages.in_place():
        raise ZeroDivisionError
    assert not network.weight.any()
    averages.keep()
    assert torch.equal(network.weight, first)


def test_what_is_frozen_has_no_average() -> None:
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    assert list(AveragedWeights(network, decay=0.9).averages) == ["weight"]
