"""What a step draws follows from seed and positions alone."""

import torch
from torch import Tensor

from model.training.randomness import Draws

BATCH = 12


def everything(draws: Draws) -> list[Tensor]:
    drawn = [draws.strata, draws.normal(2, 3), draws.uniform(), draws.below(7, 2)]
    draws.seed_dropout()
    return drawn


def test_parts_of_a_step_draw_what_the_whole_step_does() -> None:
    whole = everything(Draws.of(3, range(24, 36), BATCH))
    parts = [everything(Draws.of(3, range(start, start + 4), BATCH)) for start in (24, 28, 32)]
    for in_all, in_parts in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(in_all, torch.cat(in_parts))


def test_seeds_and_steps_differ() -> None:
    some = [everything(Draws.of(seed, range(at, at + 12), BATCH)) for seed, at in ((0, 0), (1, 0))]
    some.append(everything(Draws.of(0, range(12, 24), BATCH)))
    for i in range(4):
        assert not torch.equal(some[0][i], some[1][i])
        assert not torch.equal(some[0][i], some[2][i])


def test_examples_of_a_step_differ_and_are_drawn_as_they_should_be() -> None:
    draws = Draws.of(0, range(4000), 4000)
    normal, uniform, below = draws.normal(4), draws.uniform(), draws.below(5)
    assert len({tuple(row) for row in normal.tolist()}) == 4000
    assert normal.mean().abs() < 0.03
    assert (normal.var() - 1).abs() < 0.05
    assert (uniform.sort().values - torch.linspace(0, 1, 4000)).abs().max() < 0.03  # Kolmogorov
    assert (torch.bincount(below) / 4000 - 0.2).abs().max() < 0.03


def test_each_part_of_time_is_drawn_once_a_step() -> None:
    for step in range(20):
        strata = Draws.of(0, range(step * BATCH, (step + 1) * BATCH), BATCH).strata
        assert sorted(int(each * BATCH) for each in strata.tolist()) == list(range(BATCH))
        assert strata.max() < 1


def test_dropout_follows_from_the_positions() -> None:
    ones = torch.ones(100)
    dropped = []
    for start in (0, 12, 0):
        Draws.of(0, range(start, start + 12), BATCH).seed_dropout()
        dropped.append(torch.nn.functional.dropout(ones, 0.5))
    assert torch.equal(dropped[0], dropped[2])
    assert not torch.equal(dropped[0], dropped[1])
