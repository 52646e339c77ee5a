"""Warnings name the field, quote the word, and say what to do."""

from pathlib import Path

import pytest

from model.cascade import Cascade
from model.text import TextEncoder
from tests.if_folders import write_if_stage_one
from tests.workers.tiny_jobs import a_tiny_job
from workers.prompt_warnings import MOST_CHARS, MOST_WORDS, warnings_of

MEANS_NOTHING = "means nothing to this cascade"
ITS_WORDS = "use one of its 5 words, which GET /model lists"


@pytest.fixture(scope="module")
def encoder(tiny_cascade: Path) -> TextEncoder:
    """It knows a, cat, dog, red and apple, and reads 77 of them."""
    return Cascade.load(tiny_cascade, "cpu,float32", stages=["text"]).text


def told(encoder: TextEncoder, prompt: str, negative_prompt: str = "") -> tuple[str, ...]:
    parameters = a_tiny_job(prompt=prompt).parameters
    return warnings_of(encoder, parameters.model_copy(update={"negative_prompt": negative_prompt}))


def test_what_is_read_is_not_warned_of(encoder: TextEncoder) -> None:
    assert told(encoder, "a red cat", "a dog") == ()


def test_each_word_is_warned_of_in_its_field(encoder: TextEncoder) -> None:
    assert told(encoder, "a Zebra cat", "a truck") == (
        f'prompt: "Zebra" {MEANS_NOTHING}: {ITS_WORDS}',
        f'negative_prompt: "truck" {MEANS_NOTHING}: {ITS_WORDS}',
    )


@pytest.mark.parametrize("written", ["appel", "Aple", "apples"])
def test_a_word_much_like_a_known_one_is_asked_about(encoder: TextEncoder, written: str) -> None:
    assert told(encoder, f"a {written}") == (
        f'prompt: "{written}" {MEANS_NOTHING}: did you mean apple?',
    )


def test_without_a_list_of_words_other_words_are_the_remedy(tmp_path: Path) -> None:
    folder = write_if_stage_one(tmp_path / "one")
    encoder = Cascade.load(folder, "cpu,float32", stages=["text"]).text
    assert told(encoder, "a red 猫") == (f'prompt: "猫" {MEANS_NOTHING}: use other words',)


def test_many_and_long_words_are_told_in_short(encoder: TextEncoder) -> None:
    *_, last = told(encoder, " ".join(f"word{number}" for number in range(MOST_WORDS + 2)))
    assert last == "prompt: 2 more of its words mean nothing to this cascade: use other words"
    (warning,) = told(encoder, "z" * 500)
    assert warning.startswith(f'prompt: "{"z" * MOST_CHARS}…" means')
    assert len(told(encoder, " ".join(f"word{number}" for number in range(MOST_WORDS)))) == 5


def test_an_end_that_is_cut_is_warned_of(encoder: TextEncoder) -> None:
    assert told(encoder, "cat " * 77) == ()
    assert told(encoder, "cat " * 80) == (
        "prompt: it is 3 tokens longer than the 77 that this cascade reads, so that its end is"
        " left out: make it shorter",
    )
