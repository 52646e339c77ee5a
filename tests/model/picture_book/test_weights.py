"""The cascade in the box: what it weighs, what it reads, and that it draws what is asked."""

import json

import pytest
import torch
from safetensors.torch import load_file

from model.cascade import Cascade
from model.loading.cascade_folder import picture_book_folder
from model.picture_book.oracle import judge
from model.picture_book.scenes import Figure, Scene, Single
from model.picture_book.things import THINGS

BUDGET_BYTES = 48_000_000
WEIGHTS = sorted(picture_book_folder().rglob("*.safetensors"))
RED_APPLE = Scene(Single(Figure(THINGS["apple"], "red")), ground="blue")


def test_the_weights_are_float16_and_within_their_budget() -> None:
    assert len(WEIGHTS) == 4  # text encoder and three stages
    assert sum(file.stat().st_size for file in WEIGHTS) <= BUDGET_BYTES
    for file in WEIGHTS:
        tensors = load_file(file)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade.load(placements="cpu")


@pytest.mark.parametrize(
    "prompt", ["a red apple on a blue background", "蓝色背景上有一个红色的苹果"]
)
def test_what_the_readme_shows_is_right(cascade: Cascade, prompt: str) -> None:
    pixels = cascade.generate(prompt, seed=7).pixels
    assert pixels.shape == (512, 512, 3)
    assert judge(pixels.numpy(), RED_APPLE).right


def test_the_prompt_is_cut_where_training_cut_it() -> None:
    file = json.loads((picture_book_folder() / "cascade.json").read_text())
    tokenizer = json.loads(
        (picture_book_folder() / "text/tokenizer/tokenizer_config.json").read_text()
    )
    assert file["text"]["max_tokens"] == tokenizer["model_max_length"]
