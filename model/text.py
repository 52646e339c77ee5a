"""The frozen text encoder: prompts in, one embedding a prompt out. Knows nothing of stages."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5Config, T5EncoderModel

from model.errors import InvalidCascade, NotFinite
from model.int8 import as_int8, with_int8_layers
from model.loading.folder import Folder
from model.loading.weights import Convert, as_placed, fill, find_weights, without_weights
from model.placement import Placement
from model.vocabulary import LeftOut, known_words, left_out

_DECODER = r"(decoder|lm_head)\..*"
"""Of a whole T5, what an encoder does without."""

_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")
"""Two names of one tensor; a file has one of them or both."""


@dataclass(frozen=True)
class TextSpec:
    """What a text encoder is, apart from its weights.

    folder: has tokenizer and text_encoder. max_tokens: what a prompt is cut or padded to.
    lowercase: prompts are written small, without the spaces around them. width: of an embedding.
    """

    folder: Folder
    max_tokens: int
    lowercase: bool
    width: int

    def identity(self, precision: str) -> str:
        """Equal for encoders that make equal embeddings, so that their workers may share them."""
        digest = hashlib.sha256(f"{self.max_tokens} {self.lowercase} {precision}".encode())
        for part in ("tokenizer", "text_encoder"):
            digest.update((self.folder / part).identity())
        return digest.hexdigest()[:32]


class TextEncoder:
    """A T5 encoder with its tokenizer.

    Prompts are padded to `max_tokens`, padding included in what the U-Nets see, as in DeepFloyd IF.
    The weights are loaded when they are first needed. keep: whether they then stay; without it
    release() lets go of them, and the next prompt loads them again.
    """

    def __init__(self, spec: TextSpec, placement: Placement, keep: bool = True):
        self.max_tokens = spec.max_tokens
        self.identity = spec.identity(placement.precision)
        self._spec = spec
        self._placement = placement
        self._keep = keep
        self._files: tuple[Path, ...] = ()
        self._encoder: T5EncoderModel | None = None

    @property
    def device(self) -> torch.device:
        """Where it encodes."""
        return self._placement.device

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._encoder is not None

    @cached_property
    def known_words(self) -> tuple[str, ...]:
        """All of them, where it knows words and not many; else none. Raises InvalidCascade."""
        return known_words(self._spec.folder.path / "tokenizer")

    def left_out(self, prompt: str) -> LeftOut:
        """What of the prompt encode() loses. Raises InvalidCascade."""
        return left_out(self._tokenizer, self._written(prompt), self.max_tokens)

    def find_weights(self) -> tuple[Path, ...]:
        """Their files; those of the hub are downloaded. Raises InvalidCascade."""
        folder = self._spec.folder / "text_encoder"
        self._files = self._files or find_weights(folder, "model", half=self._placement.half)
        return self._files

    def load(self) -> None:
        """Load the weights now rather than with the first prompt. Raises InvalidCascade."""
        self._tokenizer_and_encoder()

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """[len(prompts), max_tokens, width] float16 on the CPU.

        A prompt longer than max_tokens is cut; the empty prompt is the unconditional one. Raises
        NotFinite.
        """
        tokenizer, encoder = self._tokenizer_and_encoder()
        tokens = tokenizer(
            [self._written(prompt) for prompt in prompts],
            padding="max_length",
            max_length=self.max_tokens,
            truncation=True,
            return_tensors="pt",
        ).to(self._placement.device)
        hidden: Tensor = encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
        embeddings = hidden.to("cpu", torch.float16)
        if not embeddings.isfinite().all():
            raise NotFinite(
                "stage text came to numbers that are not finite: try other words; if all prompts"
                " fail, give text float32 in IMAGEN_DEVICE"
            )
        return embeddings

    def release(self) -> None:
        """Nothing more to encode for now: let go of the weights, unless they are to be kept."""
        if self._keep:
            return
        self._encoder = None
        if self._placement.device.type == "cuda":
            torch.cuda.empty_cache()

    def _written(self, prompt: str) -> str:
        return prompt.lower().strip() if self._spec.lowercase else prompt

    def _tokenizer_and_encoder(self) -> tuple[PreTrainedTokenizerBase, T5EncoderModel]:
        tokenizer = self._tokenizer
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return tokenizer, self._encoder

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        """Kept, also where the weights are not."""
        folder = self._spec.folder.path / "tokenizer"
        try:
            return AutoTokenizer.from_pretrained(folder)
        except Exception as error:  # the libraries behind it raise whatever they like
            raise InvalidCascade(f"{folder} cannot be read ({error}): download it again") from error

    def _load_encoder(self) -> T5EncoderModel:
        place, folder = self._placement, self._spec.folder.path / "text_encoder"
        encoder = empty_encoder(folder)
        convert = as_placed(place.device, place.dtype)
        if place.int8:
            with_int8_layers(encoder)
            convert = as_int8(encoder, place.device, convert)
        fill_encoder(encoder, self.find_weights(), convert)
        return encoder


def empty_encoder(folder: Path) -> T5EncoderModel:
    """What config.json of a folder describes, without weights. Raises InvalidCascade."""
    return without_weights(folder, lambda: T5EncoderModel(T5Config.from_pretrained(folder)))


def fill_encoder(encoder: T5EncoderModel, files: Sequence[Path], convert: Convert) -> None:
    """Give it its weights, of a whole T5 the encoder's part; see weights.fill."""
    fill(encoder, files, _with_embeddings(convert), unused=_DECODER)


def _with_embeddings(otherwise: Convert) -> Convert:
    """Gives the embeddings of tokens both of their names."""

    def convert(name: str, stored: Tensor) -> Mapping[str, Tensor]:
        if name not in _EMBEDDINGS:
            return otherwise(name, stored)
        return dict.fromkeys(_EMBEDDINGS, otherwise(name, stored)[name])

    return convert
