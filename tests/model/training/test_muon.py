"""Muon against torch's own, and orthogonalisation against the singular values."""

import pytest
import torch
from torch.nn import Parameter

from model.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 16, 16)])
def test_all_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrices).float())
    assert float(values.min()) > 0.4
    assert float(values.max()) < 1.4


def test_steps_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(12, 20, generator=generator)
    ours, theirs = Parameter(start.clone()), Parameter(start.clone())
    our_optimizer = Muon([ours], lr=0.02, momentum=0.9)
    their_optimizer = torch.optim.Muon([theirs], lr=0.02, momentum=0.9, weight_decay=0.0)
    for _ in range(4):
        gradient = torch.randn(12, 20, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        our_optimizer.step()
        their_optimizer.step()
    moved = float((theirs.detach() - start).abs().mean())
    # Theirs rounds to bfloat16 before the norm, ours after it.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=moved * 0.1)


def test_a_kernel_is_stepped_as_a_matrix() -> None:
    gradient = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel, matrix = Parameter(torch.zeros(8, 3, 3, 3)), Parameter(torch.zeros(8, 27))
    kernel.grad, matrix.grad = gradient, gradient.reshape(8, 27)
    Muon([kernel, matrix]).step()
    assert torch.equal(kernel.reshape(8, 27), matrix)
