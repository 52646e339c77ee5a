"""Linear layers in 8 bits: how much is rounded, and what is left as it is."""

import pytest
import torch
from torch import nn

from model.int8 import Int8Linear, as_int8, with_int8_layers
from model.loading.weights import as_placed

CPU = torch.device("cpu")


def rounded(weight: torch.Tensor) -> Int8Linear:
    outputs, inputs = weight.shape
    network = nn.Sequential(nn.Linear(inputs, outputs, bias=False))
    with_int8_layers(network)
    convert = as_int8(network, CPU, as_placed(CPU, torch.float32))
    network.load_state_dict(dict(convert("0.weight", weight)), assign=True)
    (layer,) = network
    assert isinstance(layer, Int8Linear)
    return layer


def test_each_weight_is_off_by_half_a_step_of_its_row_at_most() -> None:
    weight = torch.randn(16, 64) * torch.logspace(-4, 2, 16)[:, None]
    layer = rounded(weight)
    assert layer.weight.dtype == torch.int8
    step = weight.abs().amax(dim=1, keepdim=True) / 127
    got = layer(torch.eye(64)).T
    assert ((got - weight).abs() <= 0.501 * step).all()


def test_a_row_of_zeros_stays_one() -> None:
    assert torch.equal(rounded(torch.zeros(2, 3))(torch.ones(1, 3)), torch.zeros(1, 2))


def test_it_computes_in_the_type_of_what_it_is_given() -> None:
    layer = rounded(torch.randn(4, 8))
    assert layer(torch.randn(2, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_what_is_not_linear_is_left() -> None:
    network = nn.ModuleDict({"words": nn.Embedding(3, 4), "all": nn.Linear(4, 2, bias=False)})
    with_int8_layers(network)
    convert = as_int8(network, CPU, as_placed(CPU, torch.float32))
    assert list(convert("words.weight", torch.ones(3, 4))) == ["words.weight"]
    assert set(convert("all.weight", torch.ones(2, 4))) == {"all.weight", "all.scale"}


def test_a_bias_is_refused() -> None:
    with pytest.raises(ValueError, match="bias"):
        with_int8_layers(nn.Sequential(nn.Linear(2, 2)))
