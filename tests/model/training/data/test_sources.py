"""What a training file says of its data, opened."""

import logging
from pathlib import Path

import pytest

from model.errors import InvalidTraining
from model.training.config import Data
from model.training.data.sources import open_data
from tests.model.training.data.written import png, write_captioned, write_shades, write_shard


def test_a_folder(tmp_path: Path) -> None:
    write_shades(tmp_path, 40)
    training, held_out = open_data(Data(path=tmp_path, held_out=0.2), 8, seed=0)
    trained = {training[position].caption for position in range(len(training.files))}
    looked_at = {example.caption for example in held_out}
    assert trained.isdisjoint(looked_at)
    assert len(trained) + len(looked_at) == 40
    assert trained == set(training.captions)
    assert looked_at
    assert training[0].picture.shape == held_out[0].picture.shape == (3, 8, 8)


def test_shards(tmp_path: Path) -> None:
    members = {"1.png": png("red"), "1.txt": b"red", "2.png": png("blue"), "2.txt": b"blue"}
    write_shard(tmp_path / "0.tar", members)
    training, held_out = open_data(Data(source="shards", path=tmp_path), 8, seed=0)
    assert {training[0].caption, held_out[0].caption} == {"red", "blue"}


def test_flips_are_as_the_file_says(tmp_path: Path) -> None:
    write_captioned(tmp_path / "1.png", "a cat")
    for flip in (False, True):
        training, _ = open_data(Data(path=tmp_path, flip=flip), 8, seed=0)
        assert training.flip == flip


def test_small_pictures_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_shades(tmp_path / "large", 3, size=(20, 30))
    write_shades(tmp_path / "small", 2, size=(30, 19))
    with caplog.at_level(logging.WARNING):
        training, held_out = open_data(Data(path=tmp_path), 20, seed=0)
    kept = {file.name for file in (*training.files, *held_out.files)}
    assert kept == {f"large/00{number}.png" for number in range(3)}
    assert [record.message for record in caplog.records] == [
        "2 of 5 pictures are less than 20 px wide or high, the first is small/000.png: they are"
        " left out"
    ]


def test_nothing_is_warned_of_where_all_are_large_enough(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_data(Data(path=write_shades(tmp_path, 2, size=(20, 30))), 20, seed=0)
    assert not caplog.records


def test_too_small_pictures_alone_are_refused(tmp_path: Path) -> None:
    write_shades(tmp_path, 2)
    with pytest.raises(InvalidTraining, match=r"2 of 2 pictures are less than 64 px .*: train a"):
        open_data(Data(path=tmp_path), 64, seed=0)


def test_scenes_are_drawn_elsewhere() -> None:
    with pytest.raises(ValueError, match="scenes are drawn"):
        open_data(Data(source="scenes"), 64, seed=0)
