"""What is written: float16, and as loaders read it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, T5EncoderModel

from model.loading.cascade_folder import StageEntry, read_stage
from model.loading.folder import Folder
from model.samplers import Variance
from model.training.config import StageTraining
from model.training.export import copy_text, export_stage, export_text
from model.training.stages import NewStage, new_stage
from tests.model.training.tiny_run import BASE, base
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
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert file.stat().st_mode == (folder / "unet" / "config.json").stat().st_mode
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


def test_a_trained_text_encoder_changes_no_file_that_was_linked(
    tiny_cascade: Path, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for part in ("tokenizer", "text_encoder"):
        shutil.copytree(tiny_cascade / "base" / part, theirs / part)
    before = {file: file.read_bytes() for file in theirs.rglob("*.*")}
    copy_text(theirs, ours)
    encoder = T5EncoderModel.from_pretrained(theirs / "text_encoder")
    encoder.config.dropout_rate = 0.25
    export_text(AutoTokenizer.from_pretrained(theirs / "tokenizer"), encoder, ours)
    assert {file: file.read_bytes() for file in theirs.rglob("*.*")} == before
    assert json.loads((ours / "text_encoder/config.json").read_text())["dropout_rate"] == 0.25


def test_a_variance_that_was_not_trained_is_not_served(tmp_path: Path) -> None:
    started = tmp_path / "started"
    learned = new_stage(
        StageTraining.model_validate(base(network=BASE | {"out_channels": 6})),
        TEXT_WIDTH,
        True,
        tmp_path,
    )
    export_stage(learned, started)
    file = started / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"variance_type": "learned_range"}))
    told = StageTraining.model_validate(base(network="started"))
    export_stage(new_stage(told, TEXT_WIDTH, True, tmp_path), tmp_path / "after")
    after = read_stage(Folder(tmp_path / "after"), StageEntry(path="after"))
    assert after.spec.variance is Variance.FIXED_SMALL


def test_a_frozen_text_encoder_is_linked(tiny_cascade: Path, tmp_path: Path) -> None:
    for _ in range(2):
        copy_text(tiny_cascade / "base", tmp_path)
    for file in ("text_encoder/model.safetensors", "tokenizer/tokenizer.json"):
        assert (tmp_path / file).samefile(tiny_cascade / "base" / file)
