"""Low-rank adapters on a U-Net, mixed in one batch: each row asks for its own, at its own scale.

Nothing is merged into the weights, so requests that ask for different ones share a forward. Knows
no files.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn


@dataclass(frozen=True)
class LowRank:
    """What an adapter adds to one layer: up(down(x)), alpha / rank included (Hu et al. 2021).

    Of a linear layer: down: [rank, inputs], up: [outputs, rank]. Of a convolution: down: [rank,
    inputs, kh, kw], as the layer's own kernel, up: [outputs, rank, 1, 1].
    """

    down: Tensor
    up: Tensor


@dataclass(frozen=True)
class Adapter:
    """layers: by the names of the U-Net's modules; each a linear layer or a convolution."""

    name: str
    layers: Mapping[str, LowRank]


@dataclass
class Asked:
    """What the rows of the forward under way ask for: told once, read by every adapted layer.

    scales: [R, adapters] float32; None where no row asks for any.
    """

    scales: Tensor | None = None


class AdaptedLayer(nn.Module):
    """y = base(x) + sum_k scale[row, k] up_k(down_k(x)), for all k in one product of all ranks.

    A row whose scales are 0 gets what base(x) is, whatever the rows beside it ask for.
    """

    down: Tensor
    up: Tensor
    adapter: Tensor

    def __init__(
        self, base: nn.Linear | nn.Conv2d, parts: Sequence[tuple[int, LowRank]], asked: Asked
    ):
        """parts: by the place of their adapter among the scales."""
        super().__init__()
        self.base = base
        self._asked = asked
        owners = [place for place, part in parts for _ in range(len(part.down))]
        self.register_buffer("down", torch.cat([part.down for _, part in parts]))
        self.register_buffer("up", torch.cat([part.up for _, part in parts], dim=1))
        self.register_buffer("adapter", torch.tensor(owners, device=base.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """x: [R, ..., inputs], of a convolution [R, inputs, H, W]."""
        y: Tensor = self.base(x)
        scales = self._asked.scales
        if scales is None:
            return y
        scales = scales[:, self.adapter]  # [R, ranks]
        if isinstance(self.base, nn.Conv2d):
            settings: Any = (self.base.stride, self.base.padding, self.base.dilation)
            inner = F.conv2d(x, self.down, None, *settings)
            inner = _scaled(inner, scales.view(len(x), len(self.adapter), 1, 1))
            return y + F.conv2d(inner, self.up)
        between = [1] * (x.ndim - 2)
        inner = _scaled(F.linear(x, self.down), scales.view(len(x), *between, len(self.adapter)))
        return y + F.linear(inner, self.up)


def _scaled(inner: Tensor, scales: Tensor) -> Tensor:
    """0 where the scale is 0, also where a half type has overflowed."""
    return torch.where(scales == 0, 0.0, inner * scales).to(inner.dtype)


class AdaptedUNet(nn.Module):
    """A U-Net with adapters on its layers: `unet` itself, altered."""

    def __init__(self, unet: UNet2DConditionModel, adapters: Sequence[Adapter]):
        """adapters: on the U-Net's device, in its type."""
        super().__init__()
        self.unet = unet
        self._asked = Asked()
        parts: defaultdict[str, list[tuple[int, LowRank]]] = defaultdict(list)
        for place, adapter in enumerate(adapters):
            for name, part in adapter.layers.items():
                parts[name].append((place, part))
        for name, of_layer in parts.items():
            parent, _, child = name.rpartition(".")
            adapted = AdaptedLayer(unet.get_submodule(name), of_layer, self._asked)
            setattr(unet.get_submodule(parent), child, adapted)

    def forward(self, *inputs: Any, adapter_scales: Tensor | None, **named: Any) -> Any:
        """As the U-Net's. adapter_scales: see Asked.

        An argument, and no state that is set beforehand: so it is an input of a compiled graph.
        """
        self._asked.scales = adapter_scales
        return self.unet(*inputs, **named)
