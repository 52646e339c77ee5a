"""Guidance and thresholding, row by row."""

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from model.guidance import Prediction, Threshold, guide, predicted_x0


def test_scale_one_is_the_conditional_prediction_and_zero_the_other() -> None:
    conditional, unconditional = torch.randn(2, 3, 3, 4, 4)
    scale = torch.tensor([1.0, 0.0, 3.0]).view(-1, 1, 1, 1)
    guided = guide(conditional, unconditional, scale)
    torch.testing.assert_close(guided[0], conditional[0])
    torch.testing.assert_close(guided[1], unconditional[1])
    torch.testing.assert_close(guided[2], 3 * conditional[2] - 2 * unconditional[2])


def test_all_kinds_of_prediction_imply_the_same_image() -> None:
    x0, noise = torch.randn(2, 2, 3, 4, 4)
    alpha = torch.tensor([0.8, 0.6]).view(-1, 1, 1, 1)
    sigma = torch.tensor([0.6, 0.8]).view(-1, 1, 1, 1)
    x = alpha * x0 + sigma * noise
    predictions = {
        Prediction.EPSILON: noise,
        Prediction.SAMPLE: x0,
        Prediction.V: alpha * noise - sigma * x0,
    }
    assert predictions.keys() == set(Prediction)
    for kind, prediction in predictions.items():
        torch.testing.assert_close(predicted_x0(kind, x, prediction, alpha, sigma), x0)


@given(ratio=st.floats(0, 1), cap=st.floats(1, 5), seed=st.integers(0, 1000))
@settings(deadline=None)
def test_thresholding_is_that_of_diffusers(ratio: float, cap: float, seed: int) -> None:
    theirs: Any = DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=ratio, sample_max_value=cap
    )
    spread = torch.tensor([0.2, 1.0, 3.0]).view(-1, 1, 1, 1)
    x0 = spread * torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    ours = Threshold(cap, ratio)(x0)
    torch.testing.assert_close(ours, theirs._threshold_sample(x0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("threshold", [Threshold(), Threshold(1.0, 0.9), Threshold(1.5, 0.9)])
def test_a_thresholded_image_is_in_range_and_one_in_range_is_kept(threshold: Threshold) -> None:
    wide, narrow = torch.randn(2, 1, 3, 8, 8) * torch.tensor([5.0, 0.1]).view(2, 1, 1, 1, 1)
    both = torch.cat([wide, narrow])
    # One wide image must not narrow the other: each row has a threshold of its own.
    thresholded = threshold(both)
    assert thresholded[0].abs().max() == 1.0
    torch.testing.assert_close(thresholded[1], narrow[0])


def test_without_a_ratio_an_image_is_clipped_to_the_cap() -> None:
    x0 = torch.tensor([-3.0, -0.5, 0.5, 3.0]).view(1, 1, 2, 2)
    assert Threshold(cap=2.0)(x0).flatten().tolist() == [-2.0, -0.5, 0.5, 2.0]


def test_dynamic_thresholding_divides_by_the_quantile_up_to_the_cap() -> None:
    x0 = torch.tensor([0.0, 1.0, 2.0, 4.0, 8.0]).view(1, 1, 1, 5)
    half, capped = Threshold(9.0, ratio=0.5)(x0), Threshold(1.6, ratio=0.5)(x0)
    assert half.flatten().tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert capped.flatten().tolist() == pytest.approx([0.0, 0.625, 1.0, 1.0, 1.0])
