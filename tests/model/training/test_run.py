"""Whole runs on a temporary folder of pictures: from a training file to a cascade that draws."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5EncoderModel

from model.cascade import Cascade
from model.plan import StageSettings
from model.training.run import train
from tests.model.training.tiny_run import BASE, base, large, training_file

HERE = Path()


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def unet(stage: Path) -> dict[str, Tensor]:
    return load_file(stage / "unet" / "diffusion_pytorch_model.safetensors")


def assert_equal(some: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert some.keys() == others.keys()
    assert all(torch.equal(weight, others[name]) for name, weight in some.items())


def test_a_folder_of_pictures_becomes_a_cascade(
    tmp_path: Path, tiny_cascade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(training_file(tmp_path, tiny_cascade, base(), large()), HERE)
    told = capsys.readouterr().err
    assert "text: 3 of 3\nbase: step 1 of 8, loss" in told
    assert "large: step 8 of 8, loss" in told
    assert folder == tmp_path / "run" / "cascade"
    described = json.loads((folder / "cascade.json").read_text())
    assert described["text"] == {"path": "text", "max_tokens": 6, "lowercase": False}
    assert described["stages"] == [
        {"path": "base", "steps": 2, "guidance_scale": 2.0},
        {"path": "large", "steps": 2, "guidance_scale": 1.0},
    ]
    cascade = Cascade.load(folder)
    drawn = cascade.generate("a red apple", seed=0).pixels
    assert drawn.shape == (16, 16, 3)
    for name, side_px in (("base", 8), ("large", 16)):
        run = tmp_path / "run" / name
        assert [line["step"] for line in log(run) if "loss" in line] == list(range(1, 9))
        assert [line["step"] for line in log(run) if "held_out" in line] == [4, 8]
        with Image.open(run / "samples-8.png") as grid:
            assert grid.size == (4 * 2 * side_px, side_px)
        assert set((run / "samples.txt").read_text().split("\n")) <= {"a red apple", "a dog", ""}
    again = unet(folder / "base")
    train(training_file(tmp_path, tiny_cascade, base(), large()), HERE)
    assert_equal(unet(folder / "base"), again)


def test_samples_are_what_the_cascade_draws(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base(training={"samples": 6}))
    cascade = Cascade.load(train(told, HERE), "cpu")
    captions = (tmp_path / "run/base/samples.txt").read_text().splitlines()
    assert len(captions) == 6
    with Image.open(tmp_path / "run/base/samples-8.png") as grid:
        pixels = np.asarray(grid).astype(int)
    for seed, caption in enumerate(captions):
        row, column = seed // 4 * 8, seed % 4 * 16
        shown, drawn = (pixels[row : row + 8, at : at + 8] for at in (column, column + 8))
        expected = cascade.generate(caption, seed=seed).pixels.numpy().astype(int)
        assert np.abs(drawn - expected).max() <= 2  # its weights are float16
        color = {"a red apple": [255, 0, 0], "a dog": [255, 255, 255]}[caption]
        assert (shown == color).all()


def test_what_is_served_is_the_averaged_network(tmp_path: Path, tiny_cascade: Path) -> None:
    folder = train(training_file(tmp_path, tiny_cascade, base()), HERE)
    state = torch.load(tmp_path / "run/base/checkpoints/step-8.pt", weights_only=True)
    averages = {
        name.removeprefix("unet."): average.half() for name, average in state["average"].items()
    }
    assert_equal(unet(folder / "base"), averages)
    assert any(
        not torch.equal(weight, state["average"][name]) for name, weight in state["weights"].items()
    )


def test_a_run_that_is_killed_ends_as_one_that_is_not(
    tmp_path: Path, tiny_cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a look of the second stage; weights are new, random and yet the same."""
    stages = (base(), large(training={"checkpoint_every_s": 1e-9}))
    whole = train(training_file(tmp_path / "whole", tiny_cascade, *stages), HERE)
    torch.manual_seed(77)
    told = training_file(tmp_path / "parts", tiny_cascade, *stages)
    parts = train(told, HERE)
    kept = sorted((tmp_path / "parts/run/large/checkpoints").iterdir())
    assert [file.name for file in kept] == ["step-6.pt", "step-7.pt", "step-8.pt"]
    kept[1].unlink()
    kept[2].unlink()
    torch.manual_seed(78)
    train(told, HERE)
    for name in ("base", "large"):
        assert_equal(unet(parts / name), unet(whole / name))
    losses = {
        line["step"]: line["loss"] for line in log(tmp_path / "whole/run/large") if "loss" in line
    }
    for line in log(tmp_path / "parts/run/large"):
        assert "loss" not in line or line["loss"] == losses[line["step"]]


def test_another_seed_begins_with_other_weights(tmp_path: Path, tiny_cascade: Path) -> None:
    one_step = {"images": 4, "ema": 0.0, "rate": 1e-30}
    some, other = (
        train(
            training_file(
                tmp_path / str(seed), tiny_cascade, base(training=one_step | {"seed": seed})
            ),
            HERE,
        )
        for seed in (0, 1)
    )
    assert not torch.equal(*(unet(each / "base")["conv_in.weight"] for each in (some, other)))


def test_fine_tuning_begins_where_the_folder_stands(tmp_path: Path, tiny_cascade: Path) -> None:
    still = {"images": 4, "rate": 1e-30, "weight_decay": 0}
    started = base(network=str(tiny_cascade / "base"), training=still)
    folder = train(training_file(tmp_path, tiny_cascade, started), HERE)
    before = {name: weight.half() for name, weight in unet(tiny_cascade / "base").items()}
    assert_equal(unet(folder / "base"), before)
    for name in ("scheduler_config.json",):
        kept = (tiny_cascade / "base" / "scheduler" / name).read_text()
        assert (folder / "base" / "scheduler" / name).read_text() == kept


def test_what_is_not_trainable_stays_as_it_is(tmp_path: Path, tiny_cascade: Path) -> None:
    started = base(
        network=str(tiny_cascade / "base"), trainable=["*.attentions.*", "conv_out.bias"]
    )
    folder = train(training_file(tmp_path, tiny_cascade, started), HERE)
    before = {name: weight.half() for name, weight in unet(tiny_cascade / "base").items()}
    after = unet(folder / "base")
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if ".attentions." in name} | {"conv_out.bias"}


def test_a_stage_without_training_comes_along_as_it_is(tmp_path: Path, tiny_cascade: Path) -> None:
    taken = large(network=str(tiny_cascade / "super_resolution"), training=None)
    folder = train(training_file(tmp_path, tiny_cascade, base(), taken), HERE)
    assert_equal(unet(folder / "large"), unet(tiny_cascade / "super_resolution"))
    assert [stage.spec.name for stage in Cascade.load(folder).stages] == ["8", "16"]


def test_an_adapter_is_all_that_a_lora_trains(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(
        tmp_path,
        tiny_cascade,
        base(
            network=str(tiny_cascade / "base"),
            lora={"rank": 2, "name": "ink"},
            training={"rate": 0.05},
        ),
    )
    folder = train(told, HERE)
    assert_equal(unet(folder / "base"), unet(tiny_cascade / "base"))
    described = json.loads((folder / "cascade.json").read_text())
    assert described["adapters"] == [{"name": "ink", "path": "adapters/ink", "stage": "8"}]
    state = torch.load(tmp_path / "run/base/checkpoints/step-8.pt", weights_only=True)
    assert all("lora" in name for name in state["weights"])
    cascade = Cascade.load(folder)
    plain, adapted = (
        cascade.generate(
            "a dog", seed=0, settings={"8": StageSettings(2, "ddim", 2.0, adapters=adapters)}
        ).pixels.int()
        for adapters in ({}, {"ink": 1.0})
    )
    assert (plain - adapted).abs().max() > 2
    assert_equal(unet(train(told, HERE) / "base"), unet(tiny_cascade / "base"))


def test_a_later_stages_adapter_is_trained_before_the_base(
    tmp_path: Path, tiny_cascade: Path
) -> None:
    reads = BASE | {"class_embed_type": "timestep", "in_channels": 6}
    first = train(
        training_file(tmp_path / "first", tiny_cascade, base(), large(network=reads)), HERE
    )
    adapted = large(network=str(first / "large"), lora={"name": "ink"})
    told = training_file(tmp_path, tiny_cascade, base(), adapted)
    folder = train(told, HERE, ["large"])
    assert (tmp_path / "run/large/samples-4.png").exists()
    train(told, HERE, ["base"])
    assert [each["name"] for each in json.loads((folder / "cascade.json").read_text())["adapters"]]


def test_samples_of_a_lora_are_drawn_with_it(tmp_path: Path, tiny_cascade: Path) -> None:
    network = str(tiny_cascade / "base")
    adapted = base(network=network, lora={}, training={"rate": 0.1, "ema": 0.0})
    still = base(network=network, training={"rate": 1e-30, "weight_decay": 0})
    grids = []
    for name, stage in (("adapted", adapted), ("still", still)):
        train(training_file(tmp_path / name, tiny_cascade, stage), HERE)
        with Image.open(tmp_path / name / "run/base/samples-8.png") as grid:
            grids.append(grid.tobytes())
    assert grids[0] != grids[1]


def test_a_text_encoder_is_trained_with_the_base_and_frozen_after(
    tmp_path: Path, tiny_cascade: Path
) -> None:
    reads = {
        "class_embed_type": "timestep",
        "in_channels": 6,
    }
    stages = (base(), large(network=BASE | reads))
    told = training_file(tmp_path, tiny_cascade, *stages, trained=True)
    folder = train(told, HERE)
    before = T5EncoderModel.from_pretrained(tiny_cascade / "base" / "text_encoder").state_dict()
    trained = load_file(folder / "text" / "text_encoder" / "model.safetensors")
    state = torch.load(tmp_path / "run/base/checkpoints/step-8.pt", weights_only=True)
    for name, weight in trained.items():
        assert torch.equal(weight, state["average"][f"conditions.encoder.{name}"].half())
        assert not torch.equal(weight, before[name].half())
    later = torch.load(tmp_path / "run/large/checkpoints/step-8.pt", weights_only=True)
    assert all(name.startswith("unet.") for name in later["weights"])
    # The later stage alone: its text encoder is the one that the base was trained with.
    shutil.rmtree(tmp_path / "run/large")
    train(told, HERE, ["large"])
    assert_equal(load_file(folder / "text" / "text_encoder" / "model.safetensors"), trained)
    again = torch.load(tmp_path / "run/large/checkpoints/step-8.pt", weights_only=True)
    # Its weights were kept in half the bits.
    torch.testing.assert_close(again["weights"], later["weights"], rtol=0.1, atol=1e-3)


def test_stages_are_trained_in_any_order(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base(), large())
    folder = train(told, HERE, ["large"])
    assert (folder / "large" / "unet").is_dir()
    assert not (folder / "cascade.json").exists()
    train(told, HERE, ["base"])
    assert len(Cascade.load(folder).stages) == 2


def test_stages_may_compute_in_other_numbers_and_parts(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(
        tmp_path,
        tiny_cascade,
        base(training={"precision": "bf16"}),
        large(training={"precision": "no", "accumulation": 2}),
    )
    assert len(Cascade.load(train(told, HERE)).stages) == 2


def test_held_out_pictures_end_a_run_that_no_longer_learns(
    tmp_path: Path, tiny_cascade: Path
) -> None:
    still = {"rate": 1e-30, "weight_decay": 0, "look_every_steps": 1, "patience": 2, "ema": 0.0}
    train(training_file(tmp_path, tiny_cascade, base(training=still)), HERE)
    looks = [line["held_out"] for line in log(tmp_path / "run/base") if "held_out" in line]
    assert len(looks) == 3
    assert looks[0] == looks[1] == looks[2]


def test_schedulers_say_what_was_trained(tmp_path: Path, tiny_cascade: Path) -> None:
    stage = base(beta_schedule="linear", prediction="epsilon", training={"images": 4})
    (loaded,) = Cascade.load(train(training_file(tmp_path, tiny_cascade, stage), HERE)).stages
    assert loaded.spec.prediction == "epsilon"
    assert loaded.spec.schedule.beta_schedule == "linear"
    network = UNet2DConditionModel.from_pretrained(tmp_path / "run/cascade/base/unet")
    assert network.config["sample_size"] == 8
