"""Embeddings of captions by a frozen text encoder: made once, kept on disk, read one at a time.

A part of them is a safetensors file: `embeddings` [N, tokens, width] and `digests` [N, 16] of the
captions that they are of.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.errors import InvalidTraining
from model.text import TextEncoder
from model.training.data.examples import Example, Examples
from model.training.shared_file import share

Progress = Callable[[int, int], None]
"""(captions that have an embedding, captions in all)"""

_DIGEST_BYTES = 16


class Embeddings:
    """Those in a folder, each [tokens, width] float16. Picklable: it holds names and rows only."""

    def __init__(self, folder: Path):
        self._rows: dict[bytes, tuple[Path, int]] = {}
        for part in sorted(folder.glob("*.safetensors")):
            self._rows.update((digest, (part, row)) for row, digest in enumerate(_digests(part)))

    def __contains__(self, caption: str) -> bool:
        return _digest(caption) in self._rows

    def __getitem__(self, caption: str) -> Tensor:
        part, row = self._rows[_digest(caption)]
        with safe_open(part, framework="pt") as content:
            embedding: Tensor = content.get_slice("embeddings")[row]
            return embedding.clone()  # without the rest of the part, which it is a view of

    @property
    def empty(self) -> Tensor:
        """Of the empty caption, which takes the place of those that are dropped."""
        return self[""]

    def attach(self, example: Example) -> Example:
        """The example with its caption's embedding."""
        return replace(example, embedding=self[example.caption])


@dataclass(frozen=True)
class _WithEmbeddings:
    examples: Examples
    embeddings: Embeddings

    def __getitem__(self, position: int) -> Example:
        return self.embeddings.attach(self.examples[position])


def with_embeddings(examples: Examples, embeddings: Embeddings) -> Examples:
    """The examples, each with its caption's embedding, which must be among them."""
    return _WithEmbeddings(examples, embeddings)


def embed_captions(
    captions: Iterable[str],
    encoder: TextEncoder,
    folder: Path,
    progress: Progress,
    batch: int = 32,
    part_bytes: int = 64 << 20,
) -> Embeddings:
    """Embeddings of all captions and of the empty one, in the encoder's own folder within folder.

    What is there already is not made again; what is made is written in parts of some part_bytes,
    each at once, and the last one when an error or Ctrl-C ends it. Raises InvalidTraining,
    InvalidCascade and NotFinite.
    """
    own = folder / encoder.identity
    own.mkdir(parents=True, exist_ok=True)
    kept = Embeddings(own)
    wanted = tuple(dict.fromkeys(("", *captions)))
    missing = [caption for caption in wanted if caption not in kept]
    done = len(wanted) - len(missing)
    progress(done, len(wanted))
    part = _Part(own, part_bytes)
    try:
        for some in _batches(missing, batch):
            part.add(some, encoder.encode(some))
            done += len(some)
            progress(done, len(wanted))
    finally:
        part.write()
    return Embeddings(own)


class _Part:
    """What is not on disk yet."""

    def __init__(self, folder: Path, size_bytes: int):
        self._folder = folder
        self._size_bytes = size_bytes
        self._digests: list[bytes] = []
        self._embeddings: list[Tensor] = []

    def add(self, captions: Sequence[str], embeddings: Tensor) -> None:
        self._digests += map(_digest, captions)
        self._embeddings.append(embeddings)
        if sum(some.nbytes for some in self._embeddings) >= self._size_bytes:
            self.write()

    def write(self) -> None:
        """Atomically: a kill leaves the whole part or nothing. Named by its content."""
        if not self._digests:
            return
        digests = bytearray().join(self._digests)
        file = self._folder / f"{hashlib.sha256(digests).hexdigest()[:32]}.safetensors"
        partial = file.with_suffix(f".{os.getpid()}.partial")
        tensors = {
            "digests": torch.frombuffer(digests, dtype=torch.uint8).view(-1, _DIGEST_BYTES),
            "embeddings": torch.cat(self._embeddings),
        }
        save_file(tensors, partial)
        share(partial)
        partial.replace(file)
        self._digests, self._embeddings = [], []


def _digest(caption: str) -> bytes:
    return hashlib.sha256(caption.encode()).digest()[:_DIGEST_BYTES]


def _digests(part: Path) -> list[bytes]:
    try:
        with safe_open(part, framework="pt") as content:
            return [bytes(row) for row in content.get_tensor("digests").tolist()]
    except (SafetensorError, OSError) as error:
        raise InvalidTraining(
            f"{part} cannot be read ({error}): delete it, and it is made again"
        ) from error


def _batches(captions: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(captions), size):
        yield captions[begin : begin + size]
