"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks").

Momentum whose update is orthogonalised, batched here over matrices of one shape: that makes it
affordable on a CPU.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from model.training.sharding import cut_as, whole

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""The quintic of Jordan et al.: five rounds push every singular value to about one."""


def orthogonalize(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Bring all singular values near one by Newton-Schulz iteration.

    matrices: [N, rows, columns], any float type; the result is bfloat16 of the same shape.
    """
    a, b, c = _COEFFICIENTS
    transposed = matrices.size(-2) > matrices.size(-1)
    x: Tensor = matrices.mT if transposed else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if transposed else x


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions; a kernel [out, in, h, w] is the matrix [out, in*h*w].

    The step of a matrix is lr * sqrt(max(1, rows / columns)), with Nesterov momentum. Several
    processes, which have the same gradients, each orthogonalise their share of the matrices, which
    are gathered before where they are sharded.
    """

    def __init__(self, params: Iterable[Parameter], lr: float = 0.01, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    # A closure, which torch allows here, would evaluate the loss again: Muon has no use for one.
    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    rows = weight.size(0)
                    by_shape[(rows, weight.numel() // rows)].append(weight)
            for (rows, columns), weights in by_shape.items():
                directions = [
                    whole(self._direction(weight, group["momentum"])) for weight in weights
                ]
                stacked = torch.stack([d.reshape(rows, columns) for d in directions])
                size = group["lr"] * math.sqrt(max(1.0, rows / columns))
                for weight, update in zip(weights, _orthogonalize_shared(stacked), strict=True):
                    step = update.reshape(weight.shape).to(weight.dtype)
                    weight.sub_(cut_as(weight, step), alpha=size)

    def _direction(self, weight: Parameter, momentum: float) -> Tensor:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        assert weight.grad is not None
        average: Tensor = state["momentum"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum)


def _orthogonalize_shared(matrices: Tensor) -> Tensor:
    """orthogonalize, each process of this run a part of them: then all have the same."""
    if not dist.is_initialized():
        return orthogonalize(matrices)
    share = slice(dist.get_rank(), None, dist.get_world_size())
    found = torch.zeros_like(matrices, dtype=torch.bfloat16)
    found[share] = orthogonalize(matrices[share])
    dist.all_reduce(found)  # a sum with zeros is exact
    return found
