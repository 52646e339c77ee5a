"""The reference loop on a small untrained cascade."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from model.cascade import Cascade, to_pixels
from model.errors import InvalidCascade
from model.trajectory import StageSettings


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, device="cpu", dtype=torch.float32)


def test_the_same_seed_is_the_same_picture(cascade: Cascade) -> None:
    once, again = (cascade.generate("a red cat", seed=3) for _ in range(2))
    assert once.shape == (16, 16, 3)
    assert torch.equal(once, again)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"prompt": "a dog"}, {"negative_prompt": "a dog"}, {"size": 8}]
)
def test_seed_prompt_negative_prompt_and_size_each_matter(
    cascade: Cascade, change: dict[str, object]
) -> None:
    asked: dict[str, object] = {"prompt": "a red cat", "seed": 3}
    changed = cascade.generate(**(asked | change))  # type: ignore[arg-type]
    assert not torch.equal(cascade.generate("a red cat", seed=3)[: len(changed)], changed)


def test_every_setting_of_a_stage_matters(cascade: Cascade) -> None:
    usual = StageSettings(steps=4, sampler="dpmpp", guidance_scale=2.0)
    pictures = [
        cascade.generate("a cat", seed=0, size=8, settings={"8": settings})
        for settings in (
            usual,
            StageSettings(5, "dpmpp", 2.0),
            StageSettings(4, "ddim", 2.0),
            StageSettings(4, "dpmpp", 6.0),
        )
    ]
    assert not any(torch.equal(pictures[0], other) for other in pictures[1:])


def test_progress_counts_the_steps_of_each_stage(cascade: Cascade) -> None:
    seen: list[tuple[str, int, int]] = []
    cascade.generate("a cat", seed=0, progress=lambda *step: seen.append(step))
    assert seen == [("8", 1, 3), ("8", 2, 3), ("8", 3, 3), ("16", 1, 2), ("16", 2, 2)]


def test_a_size_that_no_stage_has_is_refused(cascade: Cascade) -> None:
    with pytest.raises(ValueError, match="size must be one of 8, 16 for tiny, not 32"):
        cascade.generate("a cat", seed=0, size=32)


def test_pixels_span_the_whole_range() -> None:
    image = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1)
    assert to_pixels(image).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("remove", "named"),
    [
        ("cascade.json", "cascade.json is missing"),
        ("base/unet/config.json", "base/unet/config.json is missing"),
        ("base/scheduler", "scheduler_config.json is missing"),
        ("super_resolution/image_noising_scheduler", "scheduler_config.json is missing"),
        ("base/tokenizer", "base/tokenizer is missing"),
    ],
)
def test_a_missing_part_is_named(
    tiny_cascade: Path, tmp_path: Path, remove: str, named: str
) -> None:
    broken = Path(shutil.copytree(tiny_cascade, tmp_path / "broken"))
    part = broken / remove
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    with pytest.raises(InvalidCascade, match=named):
        Cascade.load(broken)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stages": []}, "stages"),
        ({"colour": "red"}, "colour"),
        ({"stages": [{"path": "base", "sampler": "euler"}]}, "sampler 'euler' is not one of"),
        ({"stages": ["super_resolution"]}, "the first stage must be a base"),
        ({"stages": ["base", "base"]}, "stage 8 after 8 must be a larger"),
    ],
)
def test_a_cascade_json_that_makes_no_sense_is_refused(
    tiny_cascade: Path, tmp_path: Path, change: dict[str, object], named: str
) -> None:
    broken = Path(shutil.copytree(tiny_cascade, tmp_path / "broken"))
    file = broken / "cascade.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InvalidCascade, match=named):
        Cascade.load(broken)
