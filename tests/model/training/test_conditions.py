"""What the U-Net attends to: captions as they are encoded, some of them empty."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, T5EncoderModel

from model.cascade import Cascade
from model.training.conditions import Encoded, Precomputed
from model.training.data.examples import Batch

CAPTIONS = ("a red apple", "a dog", "a cat")
DROPPED = torch.tensor([False, True, False])
TOKENS = 6

Encoding = Callable[..., Encoded]


@pytest.fixture
def encoding(tiny_cascade: Path) -> Encoding:
    def encode(trained: bool) -> Encoded:
        tokenizer = AutoTokenizer.from_pretrained(tiny_cascade / "base" / "tokenizer")
        encoder = T5EncoderModel.from_pretrained(tiny_cascade / "base" / "text_encoder")
        return Encoded(tokenizer, encoder, TOKENS, trained)

    return encode


@pytest.fixture
def batch() -> Batch:
    return Batch(torch.zeros(3, 3, 8, 8), CAPTIONS)


def test_captions_are_encoded_as_they_are_served(
    encoding: Encoding, batch: Batch, tiny_cascade: Path
) -> None:
    encoder = Cascade.load(tiny_cascade, "cpu", stages=["text"]).text
    encoder.max_tokens = TOKENS
    expected = encoder.encode(["a red apple", "", "a cat"]).float()
    encoded = encoding(trained=False)(batch, DROPPED)
    torch.testing.assert_close(encoded, expected, rtol=2e-3, atol=2e-3)


def test_a_frozen_encoder_gets_no_gradient(encoding: Encoding, batch: Batch) -> None:
    encoded = encoding(trained=False)
    assert not encoded(batch, DROPPED).requires_grad
    assert not any(weight.requires_grad for weight in encoded.parameters())
    assert not encoded.encoder.training


def test_a_trained_one_does(encoding: Encoding, batch: Batch) -> None:
    encoded = encoding(trained=True)
    encoded(batch, DROPPED).square().sum().backward()
    assert all(weight.grad is not None for weight in encoded.parameters())
    with torch.no_grad():
        assert not encoded(batch, DROPPED).requires_grad


def test_embeddings_made_beforehand_are_dropped_likewise(batch: Batch) -> None:
    embeddings = torch.randn(3, 5, 4).half()
    empty = torch.randn(5, 4).half()
    conditions = Precomputed(empty)
    shown = conditions(Batch(batch.pictures, CAPTIONS, embeddings), DROPPED)
    expected = torch.stack([embeddings[0], empty, embeddings[2]]).float()
    assert torch.equal(shown, expected)
    assert conditions.state_dict() == {}
