"""Image folders: what is found in them, and what is said of those that are not right."""

import json
from pathlib import Path

import pytest

from model.errors import InvalidTraining
from model.training.data.folder import find_in_folder
from tests.model.training.data.written import write_captioned, write_picture


def captions(folder: Path) -> dict[str, tuple[str, ...]]:
    return {file.name: file.captions for file in find_in_folder(folder)}


def write_metadata(folder: Path, *lines: object) -> None:
    folder.mkdir(exist_ok=True)
    said = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "metadata.jsonl").write_text(said + "\n", "utf-8")


def test_metadata_lists_pictures(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png", size=(30, 20))
    write_picture(tmp_path / "cats" / "2.JPG")
    write_metadata(
        tmp_path,
        {"file_name": "cats/2.JPG", "caption": "一只猫", "likes": 3},
        {"file_name": "./1.png", "text": " a dog\u2028at rest "},
    )
    assert captions(tmp_path) == {"1.png": ("a dog\u2028at rest",), "cats/2.JPG": ("一只猫",)}
    first, second = find_in_folder(tmp_path)
    assert (first.shorter_side_px, second.shorter_side_px) == (20, 16)
    assert second.square(4).shape == (3, 4, 4)


def test_a_folder_within_may_have_its_own_metadata(tmp_path: Path) -> None:
    write_picture(tmp_path / "train" / "1.png")
    write_metadata(tmp_path / "train", {"file_name": "1.png", "text": "a cat"})
    assert captions(tmp_path) == {"train/1.png": ("a cat",)}


def test_a_picture_listed_twice_has_two_captions(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png")
    write_metadata(
        tmp_path,
        {"file_name": "1.png", "text": "a cat"},
        {"file_name": "1.png", "text": "a small cat"},
    )
    assert captions(tmp_path) == {"1.png": ("a cat", "a small cat")}


def test_a_text_beside_each_picture(tmp_path: Path) -> None:
    write_captioned(tmp_path / "2.webp", "a cat\na small cat")
    write_captioned(tmp_path / "dogs" / "1.jpeg", "a dog")
    (tmp_path / "README.txt").write_text("My cats.")
    assert captions(tmp_path) == {"2.webp": ("a cat", "a small cat"), "dogs/1.jpeg": ("a dog",)}


def test_what_metadata_does_not_list_has_a_text(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png")
    write_captioned(tmp_path / "2.png", "a dog")
    write_metadata(tmp_path, {"file_name": "1.png", "text": "a cat"})
    assert captions(tmp_path) == {"1.png": ("a cat",), "2.png": ("a dog",)}


def test_a_path_may_go_up_and_down(tmp_path: Path) -> None:
    write_picture(tmp_path / "pictures" / "1.png")
    write_metadata(tmp_path / "pictures", {"file_name": "1.png", "text": "a cat"})
    assert captions(tmp_path / "pictures" / ".." / "pictures") == {"1.png": ("a cat",)}


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    write_captioned(tmp_path / "1.png", "a cat")
    (tmp_path / "._1.png").write_bytes(b"\x00\x05\x16\x07")
    write_picture(tmp_path / ".trash" / "2.png")
    assert captions(tmp_path) == {"1.png": ("a cat",)}


def test_a_path_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InvalidTraining, match=r"has no pictures: .* source = \"shards\""):
        find_in_folder(tmp_path)
    with pytest.raises(InvalidTraining, match="gone is no folder"):
        find_in_folder(tmp_path / "gone")


def test_pictures_without_a_caption_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_captioned(tmp_path / "1.png", "a cat")
    write_picture(tmp_path / "2.png")
    write_picture(tmp_path / "3.png")
    said = r"2 of 3 pictures in .* have no caption, the first is 2\.png: add a line to meta"
    with pytest.raises(InvalidTraining, match=said):
        find_in_folder(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"file_name": "1.png", "te', "line 2 is not JSON .*: write {"),
        ('["1.png", "a cat"]', "line 2 says too little .*: write {"),
        ('{"text": "a cat"}', "line 2 says too little .*file_name: Field required"),
        ('{"file_name": "1.png"}', "line 2 says too little .*text: Field required"),
        ('{"file_name": "1.png", "text": " "}', "line 2 says too little .*text: "),
        ('{"file_name": "9.png", "text": "a cat"}', r"line 2: .*/9\.png is missing: correct file_"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    write_picture(tmp_path / "1.png")
    right = '{"file_name": "1.png", "text": "a cat"}'
    (tmp_path / "metadata.jsonl").write_text(f"{right}\n{line}\n")
    with pytest.raises(InvalidTraining, match=rf"metadata\.jsonl {said}"):
        find_in_folder(tmp_path)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    write_captioned(tmp_path / "1.png", "a cat")
    (tmp_path / "1.png").write_text("<html>404</html>")
    with pytest.raises(InvalidTraining, match=r"/1\.png cannot be read as a picture"):
        find_in_folder(tmp_path)
