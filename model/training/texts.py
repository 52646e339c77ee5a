"""The text encoder of a training run, and what a stage attends to while it is trained.

A frozen one's embeddings of a folder's captions are computed once; captions without end, and those
of an encoder that is trained too, are encoded as they come. Knows nothing of U-Nets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import PartialState
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5EncoderModel

from model.loading.cascade_folder import TextEntry, read_text
from model.loading.folder import Folder
from model.loading.weights import as_placed, find_weights
from model.placement import TEXT, Placements
from model.text import TextEncoder, empty_encoder, fill_encoder
from model.training.conditions import Conditions, Encoded, Precomputed
from model.training.config import Text
from model.training.data.embeddings import embed_captions, with_embeddings
from model.training.data.examples import Example, Examples
from model.training.export import TEXT_FOLDER, copy_text, export_text
from model.training.progress import Told

Conditioned = tuple[Examples, Sequence[Example], Conditions]
"""What is trained on, what is held out, and the module that turns their captions into text."""


class Texts(Protocol):
    """A text encoder, as stages see it. width: of its embeddings."""

    width: int

    def condition(
        self, examples: Examples, held_out: Sequence[Example], captions: Sequence[str] | None
    ) -> Conditioned:
        """captions: all that the examples may have; None where there is no end of them."""
        ...

    def export(self, cascade: Path) -> dict[str, Any]:
        """Put the encoder into a cascade's folder; what cascade.json says of it."""
        ...


class FrozenTexts:
    """An encoder that stays as it is, in a folder; embeddings are kept in `cache`."""

    def __init__(self, told: Text, folder: Folder, cache: Path):
        spec = read_text(TextEntry(path=str(folder), max_tokens=told.max_tokens), folder)
        self.width = spec.width
        self._said = {"max_tokens": spec.max_tokens, "lowercase": spec.lowercase}
        self._encoder = TextEncoder(
            spec, Placements.parse(str(PartialState().device), ()).of(TEXT), keep=False
        )
        self._folder = folder
        self._cache = cache

    def condition(
        self, examples: Examples, held_out: Sequence[Example], captions: Sequence[str] | None
    ) -> Conditioned:
        assert captions is not None, "captions without end are encoded as they come"
        processes = PartialState()
        with Told(TEXT, self._cache) as shown:
            own = captions[processes.process_index :: processes.num_processes]
            embed_captions(own, self._encoder, self._cache, shown.count)
            processes.wait_for_everyone()
            embeddings = embed_captions(
                captions, self._encoder, self._cache, lambda done, total: None
            )
        self._encoder.release()
        return (
            with_embeddings(examples, embeddings),
            [embeddings.attach(each) for each in held_out],
            Precomputed(embeddings.empty),
        )

    def export(self, cascade: Path) -> dict[str, Any]:
        if self._folder.snapshot is not None:
            return {"path": str(self._folder), **self._said}
        copy_text(self._folder.path, cascade / TEXT_FOLDER)
        return {"path": TEXT_FOLDER, **self._said}


class LiveTexts:
    """An encoder that encodes captions as they come. trained: together with the base stage."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: T5EncoderModel,
        max_tokens: int,
        trained: bool,
    ):
        self.width: int = encoder.config.d_model
        self.tokenizer = tokenizer
        self.encoder = encoder
        self._max_tokens = max_tokens
        self._trained = trained

    @classmethod
    def load(cls, told: Text, folder: Folder) -> "LiveTexts":
        """In float32, to be trained, whatever the folder has. Raises InvalidCascade."""
        read_text(TextEntry(path=str(folder), max_tokens=told.max_tokens), folder)
        tokenizer = AutoTokenizer.from_pretrained(folder.path / "tokenizer")
        place = folder / "text_encoder"
        encoder = empty_encoder(place.path)
        files = find_weights(place, "model", half=False)
        fill_encoder(encoder, files, as_placed(torch.device("cpu"), torch.float32))
        encoder.tie_weights()
        encoder.train().requires_grad_(True)  # it was filled as what is only served
        return cls(tokenizer, encoder, told.max_tokens, told.trained)

    def condition(
        self, examples: Examples, held_out: Sequence[Example], captions: Sequence[str] | None
    ) -> Conditioned:
        encoded = Encoded(self.tokenizer, self.encoder, self._max_tokens, self._trained)
        self._trained = False  # the stages after the base see it as it has become
        return examples, held_out, encoded

    def export(self, cascade: Path) -> dict[str, Any]:
        export_text(self.tokenizer, self.encoder, cascade / TEXT_FOLDER)
        return {"path": TEXT_FOLDER, "max_tokens": self._max_tokens}
