"""An exponential moving average of the weights, which draws better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Averages of the weights that are trained, in float32, with a short memory at first.

    The decay at a step is min(decay, (1 + step) / (10 + step)).
    """

    def __init__(self, network: nn.Module, decay: float):
        self._weights = {
            name: weight for name, weight in network.named_parameters() if weight.requires_grad
        }
        self._decay = decay
        self.averages = {
            name: weight.detach().float().clone() for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After a step; the first is 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, weight in self._weights.items():
            self.averages[name].lerp_(weight.float(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averages meanwhile."""
        trained = {name: weight.detach().clone() for name, weight in self._weights.items()}
        try:
            self._fill(self.averages)
            yield
        finally:
            self._fill(trained)

    def keep(self) -> None:
        """The network has the averages from now on."""
        self._fill(self.averages)

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])

    def state_dict(self) -> dict[str, Any]:
        return self.averages

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, average in self.averages.items():
            average.copy_(state[name])
