"""WebDataset shards: what is found in them, and what is said of those that are not right."""

import gzip
from pathlib import Path

import pytest

from model.errors import InvalidTraining
from model.training.data.shards import find_in_shards
from tests.model.training.data.written import png, write_shard


def test_samples_are_members_that_share_a_name(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "00.tar",
        {
            "0001.png": png("red", (40, 30)),
            "0001.txt": b"red\nscarlet\n",
            "0001.json": b'{"caption": "not taken", "width": 40}',
            "0000.json": b'{"text": "\xe8\x93\x9d"}',
            "0000.PNG": png("blue"),
            "0000.depth.png": png("white"),
            "README.txt": b"Two pictures.",
            "._0001.png": b"\x00\x05\x16\x07",
        },
    )
    write_shard(tmp_path / "more" / "00.tar", {"a/0001.png": png(), "a/0001.txt": b"red"})
    found = find_in_shards(tmp_path)
    assert {file.name: (file.captions, file.shorter_side_px) for file in found} == {
        "00.tar/0000": (("蓝",), 16),
        "00.tar/0001": (("red", "scarlet"), 30),
        "more/00.tar/a/0001": (("red",), 16),
    }
    blue, red, _ = (file.square(2).flatten(1).mean(1).tolist() for file in found)
    assert (blue, red) == ([-1, -1, 1], [1, -1, -1])


def test_no_more_is_read_than_the_picture(tmp_path: Path) -> None:
    content = png("red")
    shard = write_shard(tmp_path / "0.tar", {"1.txt": b"red", "1.png": content, "2.txt": b""})
    (file,) = find_in_shards(shard)
    assert shard.read_bytes()[file.begin :][: file.size_bytes] == content
    assert file.size_bytes == len(content)


def test_one_shard_alone_has_the_names_it_has_in_a_folder(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "00.tar", {"1.png": png(), "1.txt": b"red"})
    assert find_in_shards(shard) == find_in_shards(tmp_path)


def test_a_path_without_shards(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InvalidTraining, match=r"has no \.tar files: give"):
            find_in_shards(path)


@pytest.mark.parametrize("members", [{}, {"1.txt": b"red"}, {"my.1.png": png(), "my.1.txt": b"r"}])
def test_a_shard_without_samples_is_named(tmp_path: Path, members: dict[str, bytes]) -> None:
    write_shard(tmp_path / "0.tar", {"1.png": png(), "1.txt": b"red"})
    write_shard(tmp_path / "1.tar", members)
    with pytest.raises(InvalidTraining, match=r"1\.tar has no samples: put in pictures"):
        find_in_shards(tmp_path)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"1.png": png()}, r"0\.tar/1 has no caption: add 0\.tar/1\.txt or"),
        ({"1.png": png(), "1.txt": b"\n"}, r"0\.tar/1\.txt is empty"),
        ({"1.png": png(), "1.json": b"{"}, r"0\.tar/1\.json says too little .*JSON.*: write"),
        ({"1.png": png(), "1.json": b'{"caption": null}'}, r"1\.json says too little .*caption: "),
        ({"1.png": png(), "1.jpg": png(), "1.txt": b"a"}, r"0\.tar/1 is jpg and png: leave one"),
        ({"1.png": b"PNG", "1.txt": b"a"}, r"0\.tar/1 cannot be read as a picture"),
    ],
)
def test_a_wrong_sample_is_named(tmp_path: Path, members: dict[str, bytes], said: str) -> None:
    write_shard(tmp_path / "0.tar", members)
    with pytest.raises(InvalidTraining, match=said):
        find_in_shards(tmp_path)


def test_a_compressed_or_broken_shard_is_named(tmp_path: Path) -> None:
    whole = write_shard(tmp_path / "0.tar", {"1.png": png(), "1.txt": b"red" * 999}).read_bytes()
    for content in (gzip.compress(whole), whole[:2000], b"<html>404</html>"):
        (tmp_path / "0.tar").write_bytes(content)
        with pytest.raises(
            InvalidTraining, match=r"0\.tar cannot be read as a \.tar file .*without"
        ):
            find_in_shards(tmp_path)
