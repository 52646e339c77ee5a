"""What the text encoder cannot read of a prompt, in words for who wrote it. Knows no queue."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from model.text import TextEncoder
from workers.jobs.job import JobParameters

MOST_WORDS = 5
"""Of a prompt that are named one by one."""

MOST_CHARS = 40
"""Of such a word that are shown."""

ALIKE = 0.75
"""As difflib counts, from 0 to 1: appel is like apple, and truck is not like duck."""


def warnings_of(encoder: TextEncoder, parameters: JobParameters) -> tuple[str, ...]:
    """Each names the field and the remedy; none where every word of both prompts is read."""
    prompts = {"prompt": parameters.prompt, "negative_prompt": parameters.negative_prompt}
    return tuple(
        f"{field}: {warning}"
        for field, prompt in prompts.items()
        for warning in _warnings(encoder, prompt)
    )


def _warnings(encoder: TextEncoder, prompt: str) -> Iterator[str]:
    lost = encoder.left_out(prompt)
    for word in lost.unknown_words[:MOST_WORDS]:
        shown = word if len(word) <= MOST_CHARS else f"{word[:MOST_CHARS]}…"
        yield f'"{shown}" means nothing to this cascade: {_remedy(word, encoder.known_words)}'
    more = len(lost.unknown_words) - MOST_WORDS
    if more > 0:
        yield f"{more} more of its words mean nothing to this cascade: use other words"
    if lost.cut_tokens > 0:
        yield (
            f"it is {lost.cut_tokens} tokens longer than the {encoder.max_tokens} that this"
            " cascade reads, so that its end is left out: make it shorter"
        )


def _remedy(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word.lower(), known, cutoff=ALIKE)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if known:
        return f"use one of its {len(known)} words, which GET /model lists"
    return "use other words"
