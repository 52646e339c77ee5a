"""The safety checker and the watermark: as diffusers' pipelines apply them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import IFPipeline
from diffusers.pipelines.deepfloyd_if import IFSafetyChecker
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil

from model.cascade import Cascade
from model.errors import InvalidCascade
from model.finishing import Finished, Finishing, FinishingSpec, find_finishing_weights
from model.loading.cascade_folder import read_cascade
from model.loading.folder import Folder
from model.placement import Placement

PLACEMENT = Placement(torch.device("cpu"), torch.float32)
NOTHING, EVERYTHING = -9.0, 9.0
"""Biases of the checker's two heads."""


@pytest.fixture
def folder(if_folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(if_folders / "one", tmp_path / "one"))


def set_checker(folder: Path, *, nsfw: float, watermark: float) -> None:
    file = folder / "safety_checker" / "model.safetensors"
    heads = {"p_head.bias": torch.tensor([nsfw]), "w_head.bias": torch.tensor([watermark])}
    # Files of older versions have the positions too.
    positions = {"vision_model.vision_model.embeddings.position_ids": torch.arange(9)}
    save_file(load_file(file) | heads | positions, file)


def finish(folder: Path, pixels: Tensor) -> Finished:
    spec = FinishingSpec.read([Folder(folder)])
    assert spec is not None
    files = find_finishing_weights(spec, PLACEMENT)
    return Finishing(spec, files, PLACEMENT).finish(pixels)


def load_checker(folder: Path) -> IFSafetyChecker:
    checker = IFSafetyChecker(CLIPConfig.from_pretrained(folder / "safety_checker")).eval()
    weights = load_file(folder / "safety_checker" / "model.safetensors")
    checker.load_state_dict(weights, strict=False)
    return checker


def as_diffusers(folder: Path, pixels: Tensor) -> Tensor:
    """What its pipeline does after the last step."""
    checker = load_checker(folder)
    pipeline = IFPipeline.from_pretrained(folder, safety_checker=checker, dtype=torch.float32)
    image = (pixels.float() / 255).numpy()[None]
    image, _, _ = pipeline.run_safety_checker(image, torch.device("cpu"), torch.float32)
    marked = pipeline.watermarker.apply_watermark(pipeline.numpy_to_pil(image), len(pixels))
    return torch.from_numpy(np.array(marked[0]))


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("nsfw", "watermark", "blocked_by"),
    [
        (NOTHING, NOTHING, None),
        (EVERYTHING, NOTHING, "nsfw"),
        (NOTHING, EVERYTHING, "watermark"),
        (EVERYTHING, EVERYTHING, "nsfw"),
    ],
)
def test_pictures_are_finished_as_by_diffusers(
    folder: Path, pixels: Tensor, nsfw: float, watermark: float, blocked_by: str | None
) -> None:
    set_checker(folder, nsfw=nsfw, watermark=watermark)
    finished = finish(folder, pixels)
    assert finished.blocked_by == blocked_by
    assert torch.equal(finished.pixels, as_diffusers(folder, pixels))
    assert not torch.equal(finished.pixels, pixels)  # it is marked
    assert (finished.pixels[:32] == 0).all() == (blocked_by is not None)


def test_the_checker_judges_the_picture(folder: Path, pixels: Tensor) -> None:
    """With a bias between what it says of two pictures, it blocks one of them."""
    pictures = [pixels, 255 - pixels // 3]
    extractor = CLIPImageProcessorPil.from_pretrained(folder / "feature_extractor")
    seen = extractor([picture.numpy() for picture in pictures], return_tensors="pt").pixel_values
    checker = load_checker(folder)
    between = checker.p_head(checker.vision_model(seen)[0]).mean()
    bias = checker.p_head.bias.item() + 0.5 - between.item()  # it blocks above a half
    set_checker(folder, nsfw=bias, watermark=NOTHING)
    finished = [finish(folder, picture) for picture in pictures]
    assert {each.blocked_by for each in finished} == {None, "nsfw"}
    for picture, each in zip(pictures, finished, strict=True):
        assert torch.equal(each.pixels, as_diffusers(folder, picture))


@pytest.mark.parametrize("shape", [(40, 96, 3), (96, 40, 3)])
def test_the_mark_is_in_the_corner_of_an_oblong_picture(
    folder: Path, shape: tuple[int, ...]
) -> None:
    set_checker(folder, nsfw=NOTHING, watermark=NOTHING)
    pixels = torch.full(shape, 128, dtype=torch.uint8)
    changed = (finish(folder, pixels).pixels != pixels).any(dim=2).nonzero()
    assert len(changed) > 0
    height, width, _ = shape
    assert changed[:, 0].min() > height - 10
    assert changed[:, 1].min() > width - 10


def test_a_pipeline_saved_without_them_has_none(if_folders: Path) -> None:
    assert FinishingSpec.read([Folder(if_folders / "two")]) is None


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("feature_extractor/preprocessor_config.json", "preprocessor_config.json is missing"),
        ("safety_checker/model.safetensors", "safety_checker/model.safetensors is missing"),
        ("watermarker/diffusion_pytorch_model.safetensors", "watermarker/.* is missing"),
    ],
)
def test_what_model_index_lists_must_be_there(folder: Path, part: str, named: str) -> None:
    (folder / part).unlink()
    with pytest.raises(InvalidCascade, match=named):
        Cascade.load(folder, "cpu,float32")


def test_an_entry_set_to_null_is_left_out(folder: Path) -> None:
    shutil.rmtree(folder / "safety_checker")
    index = json.loads((folder / "model_index.json").read_text())
    null = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index | {"safety_checker": null}))
    spec = FinishingSpec.read([Folder(folder)])
    assert spec == FinishingSpec(checker=None, watermarker=Folder(folder))


def test_generate_finishes_by_the_last_stage_that_says_how(if_folders: Path) -> None:
    spec = read_cascade(if_folders).finishing  # two says nothing
    assert spec is not None
    assert spec.checker is not None
    assert spec.checker.path == if_folders / "one"
    cascade = Cascade.load(if_folders / "one", "cpu,float32")
    finishing = cascade.finishing
    assert finishing is not None
    finished = cascade.generate("a red cat", seed=0)
    cascade.finishing = None
    bare = cascade.generate("a red cat", seed=0).pixels
    assert torch.equal(finished.pixels, finishing.finish(bare).pixels)
