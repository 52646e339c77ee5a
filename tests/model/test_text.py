"""The text encoder: what it sees of a prompt, batching, precision, identity, memory."""

import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import T5EncoderModel

from model.errors import InvalidCascade
from model.loading.folder import Folder
from model.placement import Placement
from model.text import TextEncoder, TextSpec

CPU = torch.device("cpu")
FULL = Placement(CPU, torch.float32)
INT8 = Placement(CPU, torch.float32, int8=True)


def encoder_of(
    folder: Path,
    max_tokens: int = 6,
    lowercase: bool = False,
    placement: Placement = FULL,
    keep: bool = True,
) -> TextEncoder:
    return TextEncoder(TextSpec(Folder(folder), max_tokens, lowercase, 16), placement, keep)


def load(tiny_cascade: Path, max_tokens: int = 6) -> TextEncoder:
    return encoder_of(tiny_cascade / "base", max_tokens)


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


def test_the_weights_are_those_of_the_file(if_folders: Path) -> None:
    ours = encoder_of(if_folders / "one", 9).encode(["two dogs"])
    folder = if_folders / "one"
    theirs = T5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokens = tokens_of(folder, "two dogs", 9)
    expected: Tensor = theirs(tokens, (tokens != 0).long()).last_hidden_state
    torch.testing.assert_close(ours.float(), expected.detach(), rtol=1e-3, atol=1e-3)


def tokens_of(folder: Path, prompt: str, length: int) -> Tensor:
    """[1, length], as sentencepiece itself has them, with the end's token and padding."""
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(folder / "tokenizer" / "spiece.model")
    )
    tokens = [*model.encode(prompt), model.eos_id()]
    return torch.tensor([tokens + [0] * (length - len(tokens))])


def test_if_prompts_are_written_small_and_stripped(if_folders: Path) -> None:
    encoder = encoder_of(if_folders / "one", 20, lowercase=True)
    loud, quiet = encoder.encode(["  A Red CAT ", "a red cat"])
    assert torch.equal(loud, quiet)
    loud, quiet = encoder_of(if_folders / "one", 20).encode(["A Red CAT", "a red cat"])
    assert not torch.equal(loud, quiet)


@pytest.mark.parametrize("kept", ["shared.weight", "encoder.embed_tokens.weight"])
def test_either_name_of_the_embeddings_will_do(if_folders: Path, tmp_path: Path, kept: str) -> None:
    folder = Path(shutil.copytree(if_folders / "one", tmp_path / "one"))
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    weights[kept] = weights.pop("shared.weight")
    save_file(weights, file)
    expected = encoder_of(if_folders / "one").encode(["two dogs"])
    assert torch.equal(encoder_of(folder).encode(["two dogs"]), expected)


def test_a_decoder_in_the_file_is_left_there(if_folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(if_folders / "one", tmp_path / "one"))
    file = folder / "text_encoder" / "model.safetensors"
    more = {"decoder.final_layer_norm.weight": torch.ones(32), "lm_head.weight": torch.ones(9, 32)}
    save_file(load_file(file) | more, file)
    assert encoder_of(folder).encode(["two dogs"]).isfinite().all()


def test_a_tokenizer_that_cannot_be_read_is_named(if_folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(if_folders / "one", tmp_path / "one"))
    (folder / "tokenizer" / "spiece.model").write_bytes(b"version https://git-lfs.github.com")
    with pytest.raises(InvalidCascade, match="one/tokenizer cannot be read"):
        encoder_of(folder).load()


def test_8_bits_say_nearly_the_same(if_folders: Path) -> None:
    prompts = ["a photo of a corgi", "two dogs and an apple", ""]
    full = encoder_of(if_folders / "one", 20).encode(prompts).float()
    rounded = encoder_of(if_folders / "one", 20, placement=INT8).encode(prompts).float()
    assert not torch.equal(full, rounded)
    assert F.cosine_similarity(full, rounded, dim=-1).min() > 0.999


def test_the_identity_is_the_content(tiny_cascade: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(tiny_cascade, tmp_path / "copy"))
    identity = load(tiny_cascade).identity
    assert load(elsewhere).identity == identity
    weights = elsewhere / "base/text_encoder/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load(elsewhere).identity != identity


def test_the_identity_is_of_whatever_changes_an_embedding(tiny_cascade: Path) -> None:
    folder = tiny_cascade / "base"
    identities = {
        encoder_of(folder).identity,
        encoder_of(folder, max_tokens=7).identity,
        encoder_of(folder, lowercase=True).identity,
        encoder_of(folder, placement=INT8).identity,
        encoder_of(folder, placement=Placement(CPU, torch.bfloat16)).identity,
    }
    assert len(identities) == 5


@pytest.mark.parametrize("keep", [True, False])
def test_released_weights_come_back_by_themselves(tiny_cascade: Path, keep: bool) -> None:
    encoder = encoder_of(tiny_cascade / "base", keep=keep)
    assert not encoder.is_loaded
    before = encoder.encode(["a red cat"])
    assert encoder.is_loaded
    encoder.release()
    assert encoder.is_loaded == keep
    assert torch.equal(encoder.encode(["a red cat"]), before)
