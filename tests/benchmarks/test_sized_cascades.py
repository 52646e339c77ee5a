"""The networks that speed is measured with are as large as they claim to be."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from benchmarks.sized_cascades import Config, if_m_shape


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(if_m_shape().base, 400e6), (if_m_shape().super_resolution, 450e6)],
    ids=["base", "super-resolution"],
)
def test_if_m_has_the_parameters_of_the_m_models(config: Config, parameters: float) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    counted = sum(each.numel() for each in unet.parameters())
    assert counted == pytest.approx(parameters, rel=0.1)
