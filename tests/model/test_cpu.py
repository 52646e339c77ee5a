"""Tuning changes how a network is called, not what it says."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from model.cpu import SMALL_PX, tune_for_cpu
from tests.tiny_cascade import TEXT_WIDTH

NO_BF16 = not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def predict(unet: Any, rows: int, size_px: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 3, size_px, size_px, generator=generator).to(unet.dtype)
    text = torch.randn(rows, 5, TEXT_WIDTH, generator=generator).to(unet.dtype)
    with torch.inference_mode():
        predicted: Tensor = unet(x, torch.arange(rows), encoder_hidden_states=text).sample
    return predicted.float()


@pytest.mark.skipif(NO_BF16, reason="this CPU has no bfloat16")
def test_a_tuned_network_predicts_the_same_at_every_size(tiny_cascade: Path) -> None:
    plain: Any = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    exact = copy.deepcopy(plain)
    plain = plain.bfloat16().to(memory_format=torch.channels_last).eval()
    tuned = copy.deepcopy(plain)
    tune_for_cpu(tuned)
    # Weights are packed for the first size that comes, and used for all.
    for rows, size_px in ((2, 8), (1, 16), (3, 40), (2, 8)):
        assert size_px != 40 or size_px**2 > SMALL_PX
        right = predict(exact, rows, size_px)
        error, usual = (
            (predict(unet, rows, size_px) - right).abs().max() for unet in (tuned, plain)
        )
        assert error < 2 * usual


def test_other_networks_are_left_alone(tiny_cascade: Path) -> None:
    unet: Any = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    tune_for_cpu(unet)
    assert not [module for module in unet.modules() if "forward" in vars(module)]
