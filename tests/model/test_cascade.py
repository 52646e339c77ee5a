"""The reference loop on a small untrained cascade."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from model.cascade import Cascade, to_pixels
from model.errors import InvalidCascade
from model.plan import StageSettings


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


def test_the_same_seed_is_the_same_picture(cascade: Cascade) -> None:
    once, again = (cascade.generate("a red cat", seed=3).pixels for _ in range(2))
    assert once.shape == (16, 16, 3)
    assert torch.equal(once, again)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"prompt": "a dog"}, {"negative_prompt": "a dog"}, {"size": 8}]
)
def test_seed_prompt_negative_prompt_and_size_each_matter(
    cascade: Cascade, change: dict[str, object]
) -> None:
    asked: dict[str, object] = {"prompt": "a red cat", "seed": 3}
    changed = cascade.generate(**(asked | change)).pixels  # type: ignore[arg-type]
    assert not torch.equal(cascade.generate("a red cat", seed=3).pixels[: len(changed)], changed)


def test_every_setting_of_a_stage_matters(cascade: Cascade) -> None:
    usual = StageSettings(steps=4, sampler="dpmpp", guidance_scale=2.0)
    pictures = [
        cascade.generate("a cat", seed=0, size=8, settings={"8": settings}).pixels
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
    ("spoil", "named"),
    [
        ("super_resolution/unet/config.json", "super_resolution/unet/config.json is missing"),
        (
            "super_resolution/unet/diffusion_pytorch_model.safetensors",
            "super_resolution/unet/diffusion_pytorch_model.safetensors is missing",
        ),
        ("base/text_encoder/model.safetensors", "base/text_encoder/model.safetensors is missing"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(
    tiny_cascade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str, named: str
) -> None:
    broken = Path(shutil.copytree(tiny_cascade, tmp_path / "broken"))
    (broken / spoil).unlink()
    for module in ("model.cascade", "model.text"):
        monkeypatch.setattr(f"{module}.fill", lambda *_, **__: pytest.fail("weights were loaded"))
    with pytest.raises(InvalidCascade, match=named):
        Cascade.load(broken)


def test_a_network_that_its_library_does_not_know_is_named(
    tiny_cascade: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(tiny_cascade, tmp_path / "broken"))
    file = broken / "super_resolution/unet/config.json"
    blocks = {"up_block_types": ["WarpUpBlock2D", "WarpUpBlock2D"]}
    file.write_text(json.dumps(json.loads(file.read_text()) | blocks))
    with pytest.raises(InvalidCascade, match=r"super_resolution/unet/config.json is of no network"):
        Cascade.load(broken)


def test_a_stage_can_be_loaded_alone(tiny_cascade: Path, tmp_path: Path) -> None:
    """With the weights of the others not even there."""
    part = Path(shutil.copytree(tiny_cascade, tmp_path / "part"))
    (part / "base/unet/diffusion_pytorch_model.safetensors").unlink()
    cascade = Cascade.load(part, "cpu", stages=["16"])
    assert [stage.spec.name for stage in cascade.stages] == ["16"]
    assert cascade.spec.stage_names == ("8", "16")
    assert not cascade.text.is_loaded
    assert cascade.text.identity == Cascade.load(tiny_cascade, "cpu").text.identity


def test_the_text_encoder_can_be_loaded_alone(tiny_cascade: Path) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu", stages=["text"])
    assert cascade.text.is_loaded
    assert cascade.stages == ()


def test_a_stage_that_the_cascade_does_not_have_is_refused(tiny_cascade: Path) -> None:
    with pytest.raises(InvalidCascade, match="tiny has no stage 64; it has text, 8, 16"):
        Cascade.load(tiny_cascade, stages=["8", "64"])


def test_each_part_is_in_the_type_that_is_asked_for(tiny_cascade: Path) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,8=float32,16=bfloat16,text=int8")
    assert [stage.network.dtype for stage in cascade.stages] == [torch.float32, torch.bfloat16]
    assert cascade.placements.of("text").int8
    assert cascade.generate("a red cat", seed=0).pixels.shape == (16, 16, 3)


def test_the_text_encoder_need_not_stay(tiny_cascade: Path, cascade: Cascade) -> None:
    passing = Cascade.load(tiny_cascade, "cpu,float32", keep_text=False)
    assert not passing.text.is_loaded
    picture = passing.generate("a red cat", seed=3).pixels
    assert not passing.text.is_loaded
    assert torch.equal(picture, cascade.generate("a red cat", seed=3).pixels)
