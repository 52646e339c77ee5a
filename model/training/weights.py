"""float32 copies of the weights a network computes with in bfloat16: masters and their average."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class MasterWeights:
    """The float32 weights that an optimiser steps, behind a network that computes in low precision.

    Rounding every small step to bfloat16 would lose it (Micikevicius et al. 2018, sec. 3.1).
    """

    def __init__(self, network: nn.Module):
        self._network = network
        self.masters = {
            name: nn.Parameter(weight.detach().float().clone(memory_format=torch.contiguous_format))
            for name, weight in network.named_parameters()
        }

    def __iter__(self) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(self.masters.items())

    def take_gradients(self) -> None:
        """Move the network's gradients to the masters."""
        for name, weight in self._network.named_parameters():
            grad, weight.grad = weight.grad, None
            self.masters[name].grad = None if grad is None else grad.float().contiguous()

    @torch.no_grad()
    def give_weights(self) -> None:
        """Round the masters into the network."""
        for name, weight in self._network.named_parameters():
            weight.copy_(self.masters[name])

    def state_dict(self) -> dict[str, Tensor]:
        return {name: master.detach() for name, master in self.masters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, master in self.masters.items():
            master.copy_(state[name])
        self.give_weights()


class AveragedWeights:
    """Exponential moving average of weights, with a short memory at first."""

    def __init__(self, weights: MasterWeights, decay: float = 0.99):
        self._weights = weights
        self._decay = decay
        self.averages = {name: master.detach().clone() for name, master in weights}

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, master in self._weights:
            self.averages[name].lerp_(master, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        return self.averages

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.copy_(state[name])
