"""Guidance and thresholding, row by row."""

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler

from model.guidance import Prediction, dynamic_threshold, guide, predicted_x0


def test_scale_one_is_the_conditional_prediction_and_zero_the_other() -> None:
    conditional, unconditional = torch.randn(2, 2, 3, 4, 4)
    scale = torch.tensor([1.0, 0.0]).view(-1, 1, 1, 1)
    guided = guide(conditional, unconditional, scale)
    torch.testing.assert_close(guided[0], conditional[0])
    torch.testing.assert_close(guided[1], unconditional[1])


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
    for kind, prediction in predictions.items():
        torch.testing.assert_close(predicted_x0(kind, x, prediction, alpha, sigma), x0)


@pytest.mark.parametrize("cap", [1.0, 1.5])
def test_thresholding_is_that_of_diffusers(cap: float) -> None:
    x0 = torch.randn(3, 3, 8, 8) * torch.tensor([0.2, 1.0, 3.0]).view(-1, 1, 1, 1)
    theirs: Any = DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=0.95, sample_max_value=cap
    )
    ours = dynamic_threshold(x0, ratio=0.95, cap=cap)
    torch.testing.assert_close(ours, theirs._threshold_sample(x0))
