"""Linear layers with their weights in 8 bits: half the memory of 16, computed in full precision."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.loading.weights import Convert

LEAST_SCALE = 1e-12
"""Of a row of zeros, which has none."""


class Int8Linear(nn.Module):
    """y = x W^T, where row i of W is scale[i] * weight[i], as in LLM.int8 (Dettmers et al. 2022).

    Only the weights are rounded, unlike there: T5's activations have outliers.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        if linear.bias is not None:
            raise ValueError("a linear layer with a bias is not made for 8 bits here")
        self.register_buffer("weight", torch.empty_like(linear.weight, dtype=torch.int8))
        self.register_buffer("scale", torch.empty_like(linear.weight[:, 0], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., inputs]."""
        return (F.linear(x, self.weight.to(x.dtype)) * self.scale).to(x.dtype)


def with_int8_layers(network: nn.Module) -> None:
    """Put an Int8Linear, not yet filled, in the place of each linear layer."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))


def as_int8(network: nn.Module, device: torch.device, otherwise: Convert) -> Convert:
    """Rounds what Int8Linears hold, row by row, and converts the rest otherwise."""
    layers = {name for name, layer in network.named_modules() if isinstance(layer, Int8Linear)}

    def convert(name: str, stored: Tensor) -> Mapping[str, Tensor]:
        layer = name.removesuffix(".weight")
        if layer not in layers:
            return otherwise(name, stored)
        weight = stored.to(device, torch.float32)
        scale = weight.abs().amax(dim=1).clamp(min=LEAST_SCALE) / 127
        rounded = (weight / scale[:, None]).round().to(torch.int8)
        return {name: rounded, f"{layer}.scale": scale}

    return convert
