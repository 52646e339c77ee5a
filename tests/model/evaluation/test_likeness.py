"""FID against its closed form, and CLIP score against CLIP itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, CLIPModel

from model.errors import InvalidCascade
from model.evaluation.likeness import ClipScore, FrechetDistance, read_inception
from tests.model.evaluation.tiny_clip import MOST_TOKENS, write_tiny_clip

CPU = torch.device("cpu")
CAPTIONS = ("a red cat", "a dog", "a cat")


def pictures(count: int, seed: int, brightest: int = 256) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, brightest, (count, 8, 6, 3), generator=generator)
    return list(drawn.to(torch.uint8))


class MeanColors(nn.Module):
    """Three features: the mean of each channel, mixed."""

    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        mixing = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0], [0.3, 0.0, 1.0]])
        return images.float().mean(dim=(2, 3)) @ mixing


def frechet(one: Any, other: Any) -> float:
    """Between two sets of features: Dowson & Landau 1982, by symmetric square roots."""

    def root(matrix: Any) -> Any:
        values, vectors = np.linalg.eigh(matrix)
        return vectors @ np.diag(np.sqrt(values.clip(min=0))) @ vectors.T

    first, second = np.cov(one.T), np.cov(other.T)
    middle = root(root(first) @ second @ root(first))
    shift = one.mean(axis=0) - other.mean(axis=0)
    return float(shift @ shift + np.trace(first + second - 2 * middle))


def test_fid_is_the_frechet_distance_between_the_features_gaussians() -> None:
    features = MeanColors()
    real, drawn = pictures(40, seed=0), pictures(30, seed=1, brightest=200)
    distance = FrechetDistance(features, CPU)
    for start in range(0, 40, 16):
        distance.add(real[start : start + 16], real=True)
    distance.add(drawn, real=False)
    seen = [
        features(torch.stack(each).permute(0, 3, 1, 2)).double().numpy() for each in (real, drawn)
    ]
    assert distance.value() == pytest.approx(frechet(*seen), rel=1e-4)


def test_the_same_pictures_are_at_no_distance() -> None:
    distance = FrechetDistance(MeanColors(), CPU)
    for real in (True, False):
        distance.add(pictures(20, seed=0), real=real)
    assert distance.value() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["no-such-folder", "empty", "several"])
def test_where_inception_is_not_the_remedy_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "several").mkdir()
    for file in ("one", "other"):
        (tmp_path / "several" / f"inception-{file}.pth").touch()
    with pytest.raises(InvalidCascade, match=r"no file of Inception's weights, or several: give"):
        read_inception(tmp_path / name)


class RunsWhenLoaded:
    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_what_a_file_would_run_is_not_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    torch.save({"fc.weight": RunsWhenLoaded(touched)}, tmp_path / "inception.pth")
    with pytest.raises(InvalidCascade, match=r"inception\.pth holds no weights: give"):
        read_inception(tmp_path)
    assert not touched.exists()


def test_without_torch_fidelity_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchmetrics.image.fid._TORCH_FIDELITY_AVAILABLE", False)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "inception.pth")
    with pytest.raises(InvalidCascade, match="FID needs torch-fidelity: `pip install"):
        read_inception(tmp_path / "inception.pth")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


def cosine(folder: Path, picture: Tensor, tokens: list[int]) -> float:
    """By CLIP's whole forward, on a picture that Pillow has."""
    clip = CLIPModel.from_pretrained(folder)
    seen = CLIPImageProcessorPil.from_pretrained(folder)(
        [Image.fromarray(picture.numpy())], return_tensors="pt"
    )
    with torch.inference_mode():
        told = clip(input_ids=torch.tensor([tokens]), pixel_values=seen.pixel_values)
    return float(told.image_embeds[0] @ told.text_embeds[0])


def test_clip_score_is_the_mean_cosine_in_hundredths(clip_folder: Path) -> None:
    drawn, real = pictures(3, seed=0), pictures(3, seed=1, brightest=90)
    score = ClipScore(clip_folder, CPU)
    score.add(drawn[:2], CAPTIONS[:2], real=False)
    score.add(drawn[2:], CAPTIONS[2:], real=False)
    score.add(real, CAPTIONS, real=True)
    tokens = [[1, 3, 6, 4, 7], [1, 3, 5, 7], [1, 3, 4, 7]]
    for shown, are_real in ((drawn, False), (real, True)):
        cosines = [cosine(clip_folder, *pair) for pair in zip(shown, tokens, strict=True)]
        expected = 100 * sum(cosines) / 3
        assert expected > 1  # of less than 0 torchmetrics makes 0
        assert score.value(real=are_real) == pytest.approx(expected, abs=1e-3)


def test_a_caption_that_is_cut_keeps_the_token_that_clip_looks_at(clip_folder: Path) -> None:
    (picture,) = pictures(1, seed=0)
    score = ClipScore(clip_folder, CPU)
    score.add([picture], ["cat " * 20], real=False)
    tokens = [1, *[4] * (MOST_TOKENS - 2), 7]
    expected = 100 * cosine(clip_folder, picture, tokens)
    assert expected > 1
    assert score.value(real=False) == pytest.approx(expected, abs=1e-3)


def test_a_folder_without_a_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCascade, match="there is no such folder: give that of a CLIPModel"):
        ClipScore(tmp_path / "clip", CPU)
    with pytest.raises(InvalidCascade, match="is no folder of a CLIPModel"):
        ClipScore(tmp_path, CPU)
