"""Networks as a training file asks for them: new, or as a folder has them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from model.guidance import Prediction
from model.training.config import StageTraining
from model.training.stages import NewStage, check_stage, new_stage
from tests.model.training.tiny_run import base, large
from tests.tiny_cascade import TEXT_WIDTH


def made(table: dict[str, Any], beside: Path = Path(), is_base: bool = True) -> NewStage:
    return new_stage(StageTraining.model_validate(table), TEXT_WIDTH, is_base, beside)


def test_a_folder_is_started_from_with_its_weights(tiny_cascade: Path) -> None:
    stage = made(base(network="base"), tiny_cascade)
    theirs = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet").state_dict()
    assert stage.unet.state_dict().keys() == theirs.keys()
    assert all(
        torch.equal(weight, theirs[name]) for name, weight in stage.unet.state_dict().items()
    )
    assert all(weight.requires_grad for weight in stage.unet.parameters())
    assert (stage.prediction, stage.text_width) == (Prediction.V, TEXT_WIDTH)


def test_it_is_trained_on_in_its_own_process(tiny_cascade: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cascade / "super_resolution", tmp_path / "large")
    for name, change in {
        "scheduler": {"prediction_type": "epsilon"},
        "image_noising_scheduler": {"beta_schedule": "linear"},
    }.items():
        file = tmp_path / "large" / name / "scheduler_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    stage = made(large(network="large"), tmp_path, is_base=False)
    assert stage.prediction is Prediction.EPSILON
    assert stage.schedule.beta_schedule == "squaredcos_cap_v2"
    assert stage.noising_schedule is not None
    assert stage.noising_schedule.beta_schedule == "linear"


def test_a_new_network_follows_from_the_seed() -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(made(base()).unet.conv_in.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_checking_a_stage_makes_nothing(tiny_cascade: Path) -> None:
    """Imagen's own, of two billion parameters, which fit into no memory here."""
    for network, size_px in (("imagen-64", 64), ("base", 8)):
        told = StageTraining.model_validate(base(network=network, size_px=size_px))
        stage = check_stage(told, TEXT_WIDTH, True, tiny_cascade)
        assert {weight.device.type for weight in stage.unet.parameters()} == {"meta"}


@pytest.mark.parametrize("given", [{}, {"prediction": "epsilon", "beta_schedule": "linear"}])
def test_a_new_network_predicts_v_unless_told(given: dict[str, str]) -> None:
    stage = made(base(**given))
    assert stage.prediction == given.get("prediction", "v_prediction")
    assert stage.schedule.beta_schedule == given.get("beta_schedule", "squaredcos_cap_v2")
