"""The cascade in the box: what it weighs, what it reads, and that it draws what is asked."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from model.cascade import Cascade
from model.loading.cascade_folder import picture_book_folder
from model.picture_book.networks import new_tokenizer
from model.picture_book.oracle import judge
from model.picture_book.scenes import Figure, Pair, Relation, Scene, Single
from model.picture_book.things import THINGS

BUDGET_BYTES = 40 * 2**20
WEIGHTS = sorted(picture_book_folder().rglob("*.safetensors"))
RED_APPLE = Scene(Single(Figure(THINGS["apple"], "red")), ground="blue")
CAT_AND_DOG = Scene(
    Pair(Figure(THINGS["cat"]), Relation.LEFT_OF, Figure(THINGS["dog"])), ground="green"
)


def test_the_weights_are_float16_and_within_their_budget() -> None:
    assert len(WEIGHTS) == 3
    assert sum(file.stat().st_size for file in WEIGHTS) <= BUDGET_BYTES
    for file in WEIGHTS:
        tensors = load_file(file)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade.load(placements="cpu")


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("a red apple on a blue background", RED_APPLE),
        ("蓝色背景上有一个红色的苹果", RED_APPLE),
        ("a cat to the left of a dog on a green background", CAT_AND_DOG),
    ],
)
def test_what_the_readme_shows_is_right(cascade: Cascade, prompt: str, scene: Scene) -> None:
    pixels = cascade.generate(prompt, seed=7).pixels
    assert judge(pixels.numpy(), scene).right


def test_the_cascade_reads_the_words_of_this_world() -> None:
    """Weights that were trained with other words would read these as something else."""
    shipped = AutoTokenizer.from_pretrained(picture_book_folder() / "base/tokenizer")
    assert shipped.get_vocab() == new_tokenizer().get_vocab()
    for text in ("一只大大象,蓝色背景", "A Grey cat, on top of 2 mice!"):
        assert shipped(text).input_ids == new_tokenizer()(text).input_ids


def test_the_prompt_is_cut_where_training_cut_it() -> None:
    file = json.loads((picture_book_folder() / "cascade.json").read_text())
    tokenizer = json.loads(
        (picture_book_folder() / "base/tokenizer/tokenizer_config.json").read_text()
    )
    assert file["text"]["max_tokens"] == tokenizer["model_max_length"]
