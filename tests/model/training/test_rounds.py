"""A tiny cascade is distilled in a moment, round after round, and serves with as few steps."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor

from model.cascade import Cascade
from model.errors import InvalidTraining
from model.training.checkpoints import Checkpoints
from model.training.conditions import Precomputed
from model.training.config import StageTraining
from model.training.distillation import GuidanceDistillation, ProgressiveDistillation
from model.training.rounds import check_distillation, keep_sampling, kept_sampling, rounds
from model.training.run import train
from model.training.stages import NewStage, new_stage
from model.training.tasks import BaseTask, Denoising
from model.training.training_file import read_training

TRAINING_FILE = """
name = "few"
folder = "run"

[data]
path = "pictures"
held_out = 0.25

[text]
path = "teacher/base"
max_tokens = 4

[[stages]]
name = "small"
size_px = 8
network = "teacher/base"
sampling = { steps = 8, sampler = "ddim" }

[stages.distillation]
guidance_scale = 3.0
guidance_interval = [0.2, 0.9]
steps = [4, 2]

[stages.training]
images = 360
batch = 8
rate = 5e-3
warmup_steps = 2
ema = 0.8
precision = "no"
report_every_steps = 5
look_every_steps = 10
samples = 2

[[stages]]
name = "large"
size_px = 16
crop_px = 8
network = "teacher/super_resolution"
sampling = { aug_level = 0.1 }

[stages.distillation]
steps = [1]

[stages.training]
images = 120
batch = 8
rate = 5e-3
warmup_steps = 2
ema = 0.8
precision = "no"
report_every_steps = 5
samples = 0
"""


def change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.fixture(scope="module")
def taught(tiny_cascade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cascade, `teacher`, captioned pictures, and a training file."""
    folder = tmp_path_factory.mktemp("taught")
    shutil.copytree(tiny_cascade, folder / "teacher")
    for stage in ("base", "super_resolution"):
        scheduler = folder / "teacher" / stage / "scheduler" / "scheduler_config.json"
        change(scheduler, timestep_spacing="trailing", clip_sample=True)
    (folder / "pictures").mkdir()
    for i in range(16):
        colour = "red" if i % 2 else "black"
        Image.new("RGB", (16, 16), colour).save(folder / "pictures" / f"{i}.png")
        caption = "a red apple" if i % 2 else "a cat"
        (folder / "pictures" / f"{i}.txt").write_text(caption)
    (folder / "few.toml").write_text(TRAINING_FILE)
    return folder


@pytest.fixture(scope="module")
def distilled(taught: Path) -> Path:
    """The cascade that comes out."""
    return train(read_training(taught / "few.toml"), taught)


def told(taught: Path, stage: int = 0, **changes: Any) -> StageTraining:
    return read_training(taught / "few.toml").stages[stage].model_copy(update=changes)


def new_task(taught: Path) -> tuple[NewStage, BaseTask]:
    stage = new_stage(told(taught), 16, True, taught)
    empty = Precomputed(torch.zeros(1, 16))
    return stage, BaseTask(stage.unet, Denoising(stage.schedule, stage.prediction), empty)


def first_weight(unet: UNet2DConditionModel) -> Tensor:
    weight: Tensor = unet.conv_in.weight
    return weight.detach().clone()


def test_a_student_teaches_the_next(taught: Path, tmp_path: Path) -> None:
    stage, task = new_task(taught)
    teachers, names, images, seeds = [], [], [], []
    for part in rounds(stage, task, tmp_path):
        assert isinstance(part.task, GuidanceDistillation | ProgressiveDistillation)
        teachers.append(first_weight(part.task.teacher))
        names.append(part.name)
        images.append(part.training.images)
        seeds.append(part.training.seed)
        assert part.task.student.unet is stage.unet
        with torch.no_grad():
            stage.unet.conv_in.weight.add_(1.0)
    begun = teachers[0]
    torch.testing.assert_close(teachers, [begun, begun + 1, begun + 2])
    assert names == ["small/guidance", "small/4-steps", "small/2-steps"]
    assert (images, len(set(seeds))) == ([120, 120, 120], 3)


def test_a_stage_that_is_not_distilled_has_one_round(taught: Path, tmp_path: Path) -> None:
    stage, task = new_task(taught)
    plain = NewStage(**{**vars(stage), "told": told(taught, distillation=None)})
    (only,) = rounds(plain, task, tmp_path)
    assert (only.name, only.task, only.folder) == ("small", task, tmp_path)
    assert only.training == plain.told.training


def reports(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "error" in line]


def test_errors_fall_in_every_round(taught: Path, distilled: Path) -> None:
    for part in ("small/guidance", "small/4-steps", "small/2-steps", "large/1-steps"):
        errors = [report["error"] for report in reports(taught / "run" / part)]
        assert errors[-1] < 0.9 * errors[0], part


def test_the_cascade_draws_with_as_few_steps(distilled: Path) -> None:
    small, large = json.loads((distilled / "cascade.json").read_text())["stages"]
    assert small == {
        "path": "small",
        "steps": 2,
        "sampler": "ddim",
        "guidance_scale": 1.0,
        "guidance_distilled": True,
    }
    assert large == {
        "path": "large",
        "steps": 1,
        "sampler": "ddim",
        "guidance_scale": 1.0,
        "aug_level": 0.1,
    }
    cascade = Cascade.load(distilled, "cpu,float32")
    assert [stage.spec.guidance_distilled for stage in cascade.stages] == [True, False]
    taken: list[tuple[str, int, int]] = []
    finished = cascade.generate("a cat", seed=1, progress=lambda *step: taken.append(step))
    assert taken == [("8", 1, 2), ("8", 2, 2), ("16", 1, 1)]
    assert finished.pixels.shape == (16, 16, 3)


def test_averaged_weights_are_what_is_served(taught: Path, distilled: Path) -> None:
    weight = "student.unet.conv_in.weight"
    state = Checkpoints(taught / "run" / "small" / "2-steps" / "checkpoints", keep=3).load()
    assert state is not None
    assert not torch.equal(state["average"][weight], state["weights"][weight])
    served = UNet2DConditionModel.from_pretrained(distilled / "small" / "unet")
    averaged = state["average"][weight].half().float()
    torch.testing.assert_close(first_weight(served).float(), averaged, rtol=0, atol=0)


def test_a_round_that_was_lost_is_trained_again_to_the_same(taught: Path, distilled: Path) -> None:
    weights = distilled / "small" / "unet" / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(taught / "run" / "small" / "2-steps")
    train(read_training(taught / "few.toml"), taught, ["small"])
    assert weights.read_bytes() == before
    assert len(reports(taught / "run" / "small" / "4-steps")) == 3  # it was not trained again


def test_what_a_student_was_taught_cannot_change(taught: Path, distilled: Path) -> None:
    for was, becomes in (("scale = 3.0", "scale = 4.0"), ("[4, 2]", "[2]")):
        file = taught / "changed.toml"
        file.write_text(TRAINING_FILE.replace(was, becomes, 1))
        with pytest.raises(InvalidTraining, match=r"distillation: the run .* delete that folder"):
            train(read_training(file), taught, ["small"])


def test_a_cascade_says_how_far_its_student_has_come(taught: Path, tmp_path: Path) -> None:
    stage, task = new_task(taught)
    assert kept_sampling(stage.told, tmp_path) == {"steps": 8, "sampler": "ddim"}
    said = {"guidance_scale": 1.0, "guidance_distilled": True, "sampler": "ddim"}
    for part, steps in zip(rounds(stage, task, tmp_path), (8, 4, 2), strict=True):
        assert part.sampling == {**said, "steps": steps}
        keep_sampling(part, tmp_path)
        assert kept_sampling(stage.told, tmp_path) == part.sampling


def test_no_other_teacher_takes_over(taught: Path, distilled: Path, tmp_path: Path) -> None:
    shutil.copytree(taught / "teacher" / "base", taught / "other", dirs_exist_ok=True)
    other = UNet2DConditionModel.from_pretrained(taught / "other" / "unet")
    with torch.no_grad():
        other.conv_in.weight.mul_(2)
    other.save_pretrained(taught / "other" / "unet")
    file = taught / "changed.toml"
    file.write_text(TRAINING_FILE.replace('teacher/base"\nsampling', 'other"\nsampling'))
    with pytest.raises(InvalidTraining, match=r"network: the run .* was begun with"):
        train(read_training(file), taught, ["small"])


def refused(taught: Path, told: StageTraining) -> str:
    with pytest.raises(InvalidTraining) as caught:
        check_distillation(told, taught)
    return str(caught.value)


def test_what_cannot_be_distilled_is_refused_before_anything_is_trained(
    taught: Path, tiny_cascade: Path, tmp_path: Path
) -> None:
    assert "stages.small.network: " in refused(taught, told(taught, network="base-64-small"))
    leading = told(taught, network=str(tiny_cascade / "base"))
    assert "stages.small.distillation.steps: with timestep_spacing leading" in refused(
        taught, leading
    )
    shutil.copytree(taught / "teacher" / "base", tmp_path / "epsilon")
    scheduler = tmp_path / "epsilon" / "scheduler" / "scheduler_config.json"
    change(scheduler, prediction_type="epsilon")
    epsilon = told(taught, network=str(tmp_path / "epsilon"))
    assert "stages.small.distillation.steps: a first step from pure noise" in refused(
        taught, epsilon
    )
    check_distillation(told(taught), taught)
    check_distillation(told(taught, stage=1), taught)


def test_guidance_needs_a_network_that_takes_text(taught: Path, tmp_path: Path) -> None:
    shutil.copytree(taught / "teacher" / "base", tmp_path / "blind")
    blocks: dict[str, list[str] | None] = {
        "down_block_types": ["ResnetDownsampleBlock2D"] * 2,
        "mid_block_type": None,
        "up_block_types": ["ResnetUpsampleBlock2D"] * 2,
    }
    change(tmp_path / "blind" / "unet" / "config.json", **blocks)
    blind = told(taught, network=str(tmp_path / "blind"))
    assert "stages.small.distillation.guidance_scale: the network takes no text" in refused(
        taught, blind
    )


@pytest.mark.parametrize(
    ("was", "becomes", "field"),
    [
        ("steps = [4, 2]", "steps = [4, 1]", "steps: each is half of the one before"),
        ("steps = [1]", "", "say guidance_scale, steps or both"),
        ("[0.2, 0.9]", "[0.9, 0.2]", "guidance_interval: the earlier time"),
        ("guidance_scale = 3.0", "guidance_scale = 1.0", "guidance_scale"),
        ("steps = 8,", "guidance_scale = 3.0,", "sampling.guidance_scale: leave it out"),
        ("max_tokens = 4", "max_tokens = 4\ntrained = true", "text.path: a base is distilled"),
        ("crop_px = 8", "crop_px = 8\nlora = { rank = 2 }", "distillation: needs a table"),
    ],
)
def test_what_the_file_says_wrong_is_named(
    tmp_path: Path, was: str, becomes: str, field: str
) -> None:
    assert was in TRAINING_FILE
    file = tmp_path / "few.toml"
    file.write_text(TRAINING_FILE.replace(was, becomes, 1))
    with pytest.raises(InvalidTraining) as caught:
        read_training(file)
    assert field in str(caught.value)
