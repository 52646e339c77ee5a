"""An exponential moving average of the weights, which draws better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from model.training.sharding import cut_as, whole


class AveragedWeights:
    """Averages of the weights that are trained, in float32, with a short memory at first.

    The decay at a step is min(decay, (1 + step) / (10 + step)). shown: the network that they are
    put into, whole; None is the one that is trained.
    """

    def __init__(self, network: nn.Module, decay: float, shown: nn.Module | None = None):
        self._weights = _trained(network)
        self._shown = _trained(shown or network)
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
        before = {name: weight.detach().clone() for name, weight in self._shown.items()}
        try:
            self._fill(self.averages)
            yield
        finally:
            self._fill(before)

    def keep(self) -> None:
        """The network has the averages from now on."""
        self._fill(self.averages)

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor]) -> None:
        for name, weight in self._shown.items():
            weight.copy_(whole(values[name]))

    def state_dict(self) -> dict[str, Any]:
        return self.averages

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, average in self.averages.items():
            average.copy_(cut_as(average, state[name]))


def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
