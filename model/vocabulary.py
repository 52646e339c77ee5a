"""Which words a tokenizer knows, and what of a prompt it loses. Knows nothing of what they mean."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from transformers import PreTrainedTokenizerBase

from model.loading.config_file import read_config

MOST_WORDS = 2_000
"""More are no list that anyone reads."""

Span = tuple[int, int]
"""Of characters: from, and up to."""


@dataclass(frozen=True)
class LeftOut:
    """What of a prompt does not reach the encoder.

    unknown_words: as they are written, each once. cut_tokens: how many are beyond the limit.
    """

    unknown_words: tuple[str, ...]
    cut_tokens: int


def left_out(tokenizer: PreTrainedTokenizerBase, prompt: str, max_tokens: int) -> LeftOut:
    """What is lost of a prompt that is cut at max_tokens.

    One token stands for all words that a tokenizer does not know; one of bytes knows all.
    """
    tokens = tokenizer(prompt, return_offsets_mapping=tokenizer.is_fast, verbose=False)
    ids: list[int] = tokens.input_ids
    spans = _unknown(prompt, ids, tokens.offset_mapping, tokenizer) if tokenizer.is_fast else ()
    words = (prompt[start:end].strip() for start, end in _joined(spans))
    return LeftOut(
        unknown_words=tuple(dict.fromkeys(word for word in words if word)),
        cut_tokens=max(0, len(ids) - max_tokens),
    )


def _unknown(
    prompt: str, ids: Iterable[int], spans: list[Span], tokenizer: PreTrainedTokenizerBase
) -> Iterator[Span]:
    """Of unknown tokens, and of symbols (an emoji is one) that have no token at all."""
    for token, span in zip(ids, spans, strict=True):
        if token == tokenizer.unk_token_id:
            yield span
    seen = {place for span in spans for place in range(*span)}
    for place, character in enumerate(prompt):
        if place not in seen and unicodedata.category(character) == "So":
            yield place, place + 1


def _joined(spans: Iterable[Span]) -> list[Span]:
    """In order; those that touch are one, as the signs of a Chinese word do."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


class _Token(BaseModel):
    content: str


class _Model(BaseModel):
    """type: WordLevel has the numbers of its words; other types' vocabularies are of parts."""

    type: str = ""
    vocab: dict[str, int] | list[Any] = []


class _TokenizerFile(BaseModel):
    """Of tokenizer.json what is asked here."""

    model: _Model
    added_tokens: tuple[_Token, ...] = ()


def known_words(tokenizer: Path) -> tuple[str, ...]:
    """Those of a tokenizer's folder, in its order; none where its tokens are no words, or many.

    Raises InvalidCascade.
    """
    file = tokenizer / "tokenizer.json"
    if not file.is_file():
        return ()
    read = read_config(file, _TokenizerFile, "a tokenizer's folder holds it")
    vocabulary = read.model.vocab
    if not isinstance(vocabulary, dict) or read.model.type != "WordLevel":
        return ()
    if len(vocabulary) > MOST_WORDS:
        return ()
    special = {token.content for token in read.added_tokens}
    words = sorted(vocabulary.keys() - special, key=lambda word: vocabulary[word])
    return tuple(word for word in words if any(map(str.isalnum, word)))
