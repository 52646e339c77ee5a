"""What is written: float16, and as loaders read it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, T5EncoderModel

from model.training.config import StageTraining
from model.training.export import copy_text, export_stage, export_text
from model.training.stages import NewStage, new_stage
from tests.model.training.tiny_run import base
from tests.tiny_cascade import TEXT_WIDTH


@pytest.fixture
def stage(tmp_path: Path) -> NewStage:
    return new_stage(StageTraining.model_validate(base()), TEXT_WIDTH, True, tmp_path)


def test_a_stage_is_written_in_half_and_trained_on_in_full(stage: NewStage, tmp_path: Path) -> None:
    folder = tmp_path / "cascade" / "base"
    export_stage(stage, folder)
    first = stage.unet.conv_in.weight.detach().clone()
    with torch.no_grad():
        stage.unet.conv_in.weight.mul_(2)
    export_stage(stage, folder)
    assert [each.name for each in folder.parent.iterdir()] == ["base"]
    written = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert {weight.dtype for weight in written.values()} == {torch.float16}
    assert written.keys() == stage.unet.state_dict().keys()
    assert torch.equal(written["conv_in.weight"], (2 * first).half())
    assert stage.unet.dtype is torch.float32


def test_a_text_encoder_is_written_once_and_in_half(tiny_cascade: Path, tmp_path: Path) -> None:
    encoder = T5EncoderModel.from_pretrained(tiny_cascade / "base" / "text_encoder")
    tokenizer = AutoTokenizer.from_pretrained(tiny_cascade / "base" / "tokenizer")
    export_text(tokenizer, encoder, tmp_path)
    written = load_file(tmp_path / "text_encoder" / "model.safetensors")
    assert {weight.dtype for weight in written.values()} == {torch.float16}
    assert written.keys() == dict(encoder.named_parameters()).keys()
    again = T5EncoderModel.from_pretrained(tmp_path / "text_encoder", dtype=torch.float32)
    ids = torch.tensor([[3, 4, 1]])
    torch.testing.assert_close(again(ids)[0], encoder(ids)[0], rtol=5e-3, atol=5e-3)


def test_a_frozen_text_encoder_is_linked(tiny_cascade: Path, tmp_path: Path) -> None:
    for _ in range(2):
        copy_text(tiny_cascade / "base", tmp_path)
    for file in ("text_encoder/model.safetensors", "tokenizer/tokenizer.json"):
        assert (tmp_path / file).samefile(tiny_cascade / "base" / file)
