"""Captions: how files say them, and which of them a mirror makes wrong."""

import pytest

from model.errors import InvalidTraining
from model.training.data.captions import caption_lines, names_a_side


@pytest.mark.parametrize(
    "caption",
    [
        "a cat left of a dog",
        "Right: a tree",
        "the leftmost cup",
        "solo, looking_left",
        "a door on the lower-right",
        "苹果在香蕉左边",
        "右边有一只猫",
    ],
)
def test_a_caption_with_a_side(caption: str) -> None:
    assert names_a_side(caption)


@pytest.mark.parametrize(
    "caption", ["a bright day", "Bright lights", "an upright piano", "a cleft rock", "猫在狗上面"]
)
def test_a_caption_without_a_side(caption: str) -> None:
    assert not names_a_side(caption)


def test_a_line_is_a_caption() -> None:
    content = "\ufeff a cat \r\n\r\n一只猫\n".encode()
    assert caption_lines(content, "1.txt") == ["a cat", "一只猫"]


@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_an_empty_file_is_named(content: bytes) -> None:
    with pytest.raises(InvalidTraining, match=r"1\.txt is empty: write"):
        caption_lines(content, "1.txt")


def test_a_file_in_another_encoding_is_named() -> None:
    with pytest.raises(InvalidTraining, match=r"1\.txt is not UTF-8 .*: save it as UTF-8"):
        caption_lines("Käse".encode("latin-1"), "1.txt")
