"""What tokenizers of words, parts and bytes lose of a prompt; which words there are."""

import json
import logging
from pathlib import Path

import pytest
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerBase

from model.errors import InvalidCascade
from model.picture_book.networks import new_tokenizer
from model.vocabulary import MOST_WORDS, LeftOut, known_words, left_out


@pytest.fixture(scope="module")
def of_words() -> PreTrainedTokenizerBase:
    return new_tokenizer()


@pytest.fixture(scope="module")
def of_parts(if_folders: Path) -> PreTrainedTokenizerBase:
    """sentencepiece's, as T5 has it: trained on a few sentences without Z, and on no Chinese."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        if_folders / "one" / "tokenizer"
    )
    return tokenizer


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("", ()),
        ("A red apple, on a BLUE background!", ()),
        ("two gray-cats and a grey dog", ()),
        ("a red Gryphon on a blue-green qwfp.", ("Gryphon", "qwfp")),
        ("a gryphon, a gryphon and a Gryphon", ("gryphon", "Gryphon")),
        ("gryphon-qwfp", ("gryphon", "qwfp")),
        ("a cat 🦓🦓 and a 🐕", ("🦓🦓", "🐕")),
        ("一只红色的苹果", ()),
        ("一只红色的麒麟在蓝色的背景上", ("麒麟",)),
    ],
)
def test_unknown_words_are_told_as_they_are_written(
    of_words: PreTrainedTokenizerBase, prompt: str, unknown: tuple[str, ...]
) -> None:
    assert left_out(of_words, prompt, max_tokens=99) == LeftOut(unknown, 0)


def test_of_a_tokenizer_of_parts_what_it_has_no_sign_for(of_parts: PreTrainedTokenizerBase) -> None:
    lost = left_out(of_parts, "a red 猫 cat☃ and 两只 dogs", max_tokens=99)
    assert lost == LeftOut(("猫", "☃", "两只"), 0)


def test_a_tokenizer_of_bytes_knows_every_word() -> None:
    lost = left_out(ByT5Tokenizer(), "a 🦓", max_tokens=4)
    assert lost == LeftOut((), cut_tokens=len("a 🦓".encode()) + 1 - 4)


@pytest.mark.parametrize("words", [3, 4, 5, 40])
def test_what_is_beyond_the_limit_is_counted_without_a_word_in_the_log(
    of_words: PreTrainedTokenizerBase, words: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With the end's token; also where the tokenizer would warn of its own limit."""
    with caplog.at_level(logging.WARNING):
        lost = left_out(of_words, "cat " * words, max_tokens=5)
    assert lost.cut_tokens == max(0, words + 1 - 5)
    assert not caplog.records


def test_known_words_are_those_that_a_prompt_may_have(tmp_path: Path) -> None:
    tokenizer = new_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    words = known_words(tmp_path)
    assert {"apple", "apples", "background", "blue"} <= set(words)
    assert not {"<unk>", "<pad>", "</s>", ","} & set(words)
    assert left_out(tokenizer, " ".join(words), max_tokens=9999).unknown_words == ()


def test_where_tokens_are_no_words_none_is_listed(if_folders: Path, tmp_path: Path) -> None:
    folder = if_folders / "one" / "tokenizer"
    assert known_words(folder) == ()
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    assert known_words(tmp_path) == ()


@pytest.mark.parametrize(("words", "listed"), [(MOST_WORDS, MOST_WORDS), (MOST_WORDS + 1, 0)])
def test_more_words_than_anyone_reads_are_not_listed(
    tmp_path: Path, words: int, listed: int
) -> None:
    vocabulary = {f"word{number}": number for number in range(words)}
    content = {"model": {"type": "WordLevel", "vocab": vocabulary}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert len(known_words(tmp_path)) == listed


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("version https://git-lfs.github.com")
    with pytest.raises(InvalidCascade, match=r"tokenizer\.json: the file: Invalid JSON"):
        known_words(tmp_path)
