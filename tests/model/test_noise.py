"""Noise is a function of its name, and of nothing else."""

import torch

from model.noise import noise


def test_the_same_name_is_the_same_noise_whatever_was_drawn_between() -> None:
    first = noise(7, "64/initial", (3, 8, 8))
    torch.manual_seed(1)
    noise(8, "64/initial", (3, 8, 8))
    assert torch.equal(noise(7, "64/initial", (3, 8, 8)), first)


def test_other_seeds_and_purposes_are_independent() -> None:
    names = [(7, "64/initial"), (8, "64/initial"), (7, "64/augmentation"), (7, "256/initial")]
    drawn = torch.stack([noise(*name, (4096,)) for name in names])
    correlation = torch.corrcoef(drawn) - torch.eye(len(names))
    assert correlation.abs().max() < 5 / 4096**0.5


def test_noise_is_standard_normal() -> None:
    drawn = noise(0, "64/initial", (3, 64, 64))
    assert abs(float(drawn.mean())) < 0.05
    assert abs(float(drawn.std()) - 1) < 0.05
