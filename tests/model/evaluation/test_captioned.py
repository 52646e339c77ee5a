"""A cascade against captioned pictures: which are taken, and what is told of them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.cascade import Cascade, to_pixels
from model.errors import InvalidTraining
from model.evaluation.captioned import choose_pictures, denoising, likeness
from model.evaluation.denoising import denoising_loss
from model.evaluation.drawing import draw
from model.evaluation.likeness import FrechetDistance
from model.training.config import Data
from model.training.data.captioned import PicturesInOrder
from model.training.data.sources import open_data
from tests.model.training.data.written import png, write_shades, write_shard

CPU = torch.device("cpu")


def told(what: str, done: int, total: int) -> None:
    """Of the progress nothing is asked here."""


def test_what_training_holds_out_is_taken(tmp_path: Path) -> None:
    folder = write_shades(tmp_path, 40)
    _, held_out = open_data(Data(path=folder, held_out=0.3), 16, seed=5)
    assert set(choose_pictures(folder, 0.3, 16, 1000)) == set(held_out.files)


def test_of_pictures_that_are_only_for_this_all_are_taken(tmp_path: Path) -> None:
    assert len(set(choose_pictures(write_shades(tmp_path, 7), 0, 16, 1000))) == 7


def test_fewer_are_some_of_more_and_not_the_first_by_name(tmp_path: Path) -> None:
    folder = write_shades(tmp_path, 20)
    few, more = (choose_pictures(folder, 0, 16, count) for count in (5, 12))
    assert few == more[:5]
    assert [file.name for file in few] != [f"{number:03}.png" for number in range(5)]


def test_shards_are_known_by_their_suffix(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "in" / "1.tar", {"1.png": png(), "1.txt": b"a cat"})
    for path in (shard, tmp_path):
        (only,) = choose_pictures(path, 0, 16, 10)
        assert only.captions == ("a cat",)


def test_one_picture_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(InvalidTraining, match="one picture is too few to hold any out"):
        choose_pictures(write_shades(tmp_path, 1), 0.5, 16, 10)


def test_each_stage_is_told_with_the_size_before_it(tmp_path: Path, tiny_cascade: Path) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32")
    files = choose_pictures(write_shades(tmp_path, 4), 0, 16, 3)
    section = denoising(cascade, files, told)
    for stage, before_px in zip(cascade.stages, (None, 8), strict=True):
        losses = denoising_loss(
            stage,
            PicturesInOrder(files, stage.spec.size_px),
            3,
            cascade.text.encode,
            before_px,
        )
        _, _, lines = section.text.partition(f"Stage {stage.spec.name}, mean squared error of its")
        rows = lines.split("\n\n")[1].splitlines()[2:]
        assert [row.split(" | ")[2] for row in rows[:-1]] == [f"{e.loss:.4f}" for e in losses]
        assert rows[0].startswith("| 0.05 | ")


class MeanColors(nn.Module):
    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(2, 3))


def test_what_is_drawn_for_the_captions_is_held_against_their_pictures(
    tmp_path: Path, tiny_cascade: Path
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32")
    files = choose_pictures(write_shades(tmp_path, 20), 0, 16, 18)
    section = likeness(cascade, files, FrechetDistance(MeanColors(), CPU), None, told)
    captions = [file.captions[0] for file in files]
    drawn = [finished.pixels for finished in draw(cascade, captions, range(18))]
    expected = FrechetDistance(MeanColors(), CPU)
    expected.add(drawn, real=False)
    expected.add([to_pixels(file.square(16)) for file in files], real=True)
    assert f"| FID | {expected.value():.2f} |" in section.text
    assert [each.prompt for each in section.pictures] == captions
    assert all(torch.equal(a.pixels, b) for a, b in zip(section.pictures, drawn, strict=True))


def test_without_a_measure_as_many_are_drawn_as_one_looks_at(
    tmp_path: Path, tiny_cascade: Path
) -> None:
    cascade = Cascade.load(tiny_cascade)
    files = choose_pictures(write_shades(tmp_path, 30), 0, 16, 30)
    seen: list[tuple[str, int, int]] = []
    section = likeness(cascade, files, None, None, lambda *each: seen.append(each))
    assert len(section.pictures) == 24
    assert "|" not in section.text
    assert seen == [("pictures", 16, 24), ("pictures", 24, 24)]
