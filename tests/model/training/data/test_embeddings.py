"""Embeddings on disk: equal to the encoder's, made once, resumed, given to examples."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.errors import InvalidTraining
from model.loading.folder import Folder
from model.placement import Placement
from model.text import TextEncoder, TextSpec
from model.training.data.embeddings import Embeddings, embed_captions, with_embeddings
from model.training.data.examples import Example

CAPTIONS = ["a cat", "a dog", "a red cat", "a red dog", "a red apple", "an apple", "a cat", "red"]
DISTINCT = ("", *dict.fromkeys(CAPTIONS))


class CountingEncoder(TextEncoder):
    """Remembers what it was given."""

    encoded: tuple[str, ...] = ()

    def encode(self, prompts: Sequence[str]) -> Tensor:
        self.encoded += tuple(prompts)
        return super().encode(prompts)


def encoder_of(cascade: Path, max_tokens: int = 6) -> CountingEncoder:
    spec = TextSpec(Folder(cascade / "base"), max_tokens, lowercase=False, width=16)
    return CountingEncoder(spec, Placement(torch.device("cpu"), torch.float32))


@pytest.fixture(scope="module")
def encoder(tiny_cascade: Path) -> CountingEncoder:
    return encoder_of(tiny_cascade)


def ignore(done: int, total: int) -> None:
    pass


def test_embeddings_are_the_encoders(encoder: CountingEncoder, tmp_path: Path) -> None:
    embeddings = embed_captions(CAPTIONS, encoder, tmp_path, ignore, batch=3, part_bytes=500)
    assert len(list(tmp_path.rglob("*.safetensors"))) > 1
    for caption in CAPTIONS:
        stored, (expected,) = embeddings[caption], encoder.encode([caption])
        assert (stored.shape, stored.dtype) == ((6, 16), torch.float16)
        torch.testing.assert_close(stored, expected, rtol=0, atol=2e-3)
    torch.testing.assert_close(embeddings.empty, encoder.encode([""])[0], rtol=0, atol=2e-3)


def test_an_embedding_is_sent_without_the_rest_of_its_file(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    """A process that reads ahead sends the whole storage of a tensor."""
    embedding = embed_captions(CAPTIONS, encoder, tmp_path, ignore)["a cat"]
    assert embedding.untyped_storage().nbytes() == embedding.nbytes


def test_each_distinct_caption_is_encoded_once_and_never_again(
    tiny_cascade: Path, tmp_path: Path
) -> None:
    encoder = encoder_of(tiny_cascade)
    embed_captions(CAPTIONS, encoder, tmp_path, ignore, batch=2)
    assert encoder.encoded == DISTINCT
    embed_captions([*CAPTIONS, "a tree"], encoder, tmp_path, ignore, batch=2)
    assert encoder.encoded == (*DISTINCT, "a tree")


def test_progress_is_told(encoder: CountingEncoder, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    embed_captions(CAPTIONS, encoder, tmp_path, lambda *both: told.append(both), batch=3)
    embed_captions(CAPTIONS, encoder, tmp_path, lambda *both: told.append(both), batch=3)
    assert told == [(0, 8), (3, 8), (6, 8), (8, 8), (8, 8)]


def test_it_goes_on_where_it_was_stopped(tiny_cascade: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_captions(CAPTIONS, encoder_of(tiny_cascade), tmp_path, stop, batch=2)
    again = encoder_of(tiny_cascade)
    embeddings = embed_captions(CAPTIONS, again, tmp_path, ignore, batch=2)
    assert again.encoded == DISTINCT[4:]
    assert all(caption in embeddings for caption in DISTINCT)


def test_a_kill_loses_the_last_part_alone(
    tiny_cascade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if killed while it writes the second part: nothing reads what is half written."""

    def fail(tensors: dict[str, Tensor], file: Path) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    def break_disk(done: int, total: int) -> None:
        if done == 4:
            monkeypatch.setattr("model.training.data.embeddings.save_file", fail)

    first = encoder_of(tiny_cascade)
    with pytest.raises(KeyboardInterrupt):
        embed_captions(CAPTIONS, first, tmp_path, break_disk, batch=2, part_bytes=600)
    monkeypatch.undo()
    again = encoder_of(tiny_cascade)
    embed_captions(CAPTIONS, again, tmp_path, ignore, batch=2, part_bytes=600)
    assert again.encoded == DISTINCT[4:]


def test_another_encoder_has_its_own(tiny_cascade: Path, tmp_path: Path) -> None:
    short, long = encoder_of(tiny_cascade, 6), encoder_of(tiny_cascade, 9)
    assert embed_captions(["a cat"], short, tmp_path, ignore)["a cat"].shape == (6, 16)
    assert embed_captions(["a cat"], long, tmp_path, ignore)["a cat"].shape == (9, 16)


def test_examples_are_given_theirs(encoder: CountingEncoder, tmp_path: Path) -> None:
    embeddings = embed_captions(CAPTIONS, encoder, tmp_path, ignore)
    examples = [Example(torch.zeros(3, 4, 4), caption) for caption in CAPTIONS]
    given = pickle.loads(pickle.dumps(with_embeddings(examples, embeddings)))
    for position, caption in enumerate(CAPTIONS):
        assert given[position].caption == caption
        assert torch.equal(given[position].embedding, embeddings[caption])
    with pytest.raises(KeyError):
        embeddings["a tree"]


def test_a_broken_part_is_named(encoder: CountingEncoder, tmp_path: Path) -> None:
    embed_captions(CAPTIONS, encoder, tmp_path, ignore)
    (part,) = tmp_path.rglob("*.safetensors")
    part.write_bytes(part.read_bytes()[:99])
    with pytest.raises(InvalidTraining, match=f"{part.name} cannot be read .*: delete it"):
        Embeddings(part.parent)
