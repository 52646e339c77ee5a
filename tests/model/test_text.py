"""The text encoder: padding, batching, identity."""

import shutil
from pathlib import Path

import torch

from model.text import TextEncoder


def load(folder: Path, max_tokens: int = 6) -> TextEncoder:
    return TextEncoder.load(folder / "base", max_tokens, torch.device("cpu"), torch.float32)


def test_an_embedding_does_not_depend_on_the_batch(tiny_cascade: Path) -> None:
    encoder = load(tiny_cascade)
    together = encoder.encode(["a red cat", "", "a dog"])
    assert together.shape == (3, 6, 16)
    alone = torch.cat([encoder.encode([prompt]) for prompt in ("a red cat", "", "a dog")])
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-3)


def test_a_long_prompt_is_cut(tiny_cascade: Path) -> None:
    encoder = load(tiny_cascade)
    long, cut = encoder.encode(["a cat " * 9, "a cat a cat a cat"])
    assert torch.equal(long, cut)


def test_the_identity_is_the_content(tiny_cascade: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(tiny_cascade, tmp_path / "copy"))
    identity = load(tiny_cascade).identity
    assert load(elsewhere).identity == identity
    assert load(tiny_cascade, max_tokens=7).identity != identity
    weights = elsewhere / "base/text_encoder/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load(elsewhere).identity != identity
