"""What training learns from: captioned pictures, each at a position that is always the same one's.

Knows nothing of where they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """A picture [3, S, S] in [-1, 1], float32, and what it shows, in words.

    embedding: [tokens, width] float16 of the caption, where it was computed beforehand.
    """

    picture: Tensor
    caption: str
    embedding: Tensor | None = None


class Examples(Protocol):
    """Examples without end: position 0 is the first that training sees.

    A position gives the same example on every machine, so that training resumes where it stood.
    Whatever is random about it (its place in an epoch, a crop, a flip) follows from the position
    and a seed. Picklable: processes of a DataLoader read side by side.
    """

    def __getitem__(self, position: int) -> Example: ...


@dataclass(frozen=True)
class Batch:
    """Examples of one step: pictures [B, 3, S, S], B captions, embeddings [B, tokens, width]."""

    pictures: Tensor
    captions: tuple[str, ...]
    embeddings: Tensor | None = None

    @classmethod
    def of(cls, examples: Sequence[Example]) -> "Batch":
        embeddings = [each.embedding for each in examples if each.embedding is not None]
        return cls(
            pictures=torch.stack([each.picture for each in examples]),
            captions=tuple(each.caption for each in examples),
            embeddings=torch.stack(embeddings) if embeddings else None,
        )

    def to(self, device: torch.device) -> "Batch":
        """The tensors there."""
        embeddings = None if self.embeddings is None else self.embeddings.to(device)
        return Batch(self.pictures.to(device, non_blocking=True), self.captions, embeddings)

    def __len__(self) -> int:
        return len(self.captions)
