"""What the oracle says of picture-book, or of another cascade of its scenes, as sections."""

from collections.abc import Sequence
from dataclasses import fields

import torch

from model.cascade import Cascade, Progress
from model.evaluation.drawing import BATCH, draw
from model.evaluation.report import MOST_SHOWN, Section, Shown
from model.picture_book.captions import Language
from model.picture_book.drawings import Pixels
from model.picture_book.evaluate import Judged, report, table
from model.picture_book.goals import goals_table
from model.picture_book.prompts import Prompt, prompts, prompts_by_category


def asked_in_every_language(per_category: int | None) -> list[Prompt]:
    """The fixed prompts, or so many of each category."""
    if per_category is None:
        return [prompt for language in Language for prompt in prompts(language)]
    return [prompt for each in Language for prompt in prompts_by_category(per_category, each)]


def judge_pictures(
    cascade: Cascade, asked: Sequence[Prompt], progress: Progress
) -> tuple[Judged, ...]:
    """Draw and judge what is asked. Raises NotFinite."""

    def pictures(texts: list[str], seeds: list[int]) -> list[Pixels]:
        return [finished.pixels.numpy(force=True) for finished in draw(cascade, texts, seeds)]

    judged: list[Judged] = []
    for start in range(0, len(asked), BATCH):
        judged += report(pictures, asked[start : start + BATCH])
        progress("pictures of scenes", len(judged), len(asked))
    return tuple(judged)


def sections_of(judged: Sequence[Judged]) -> list[Section]:
    """The rates, with some of all pictures; then some of the wrong ones."""
    wrong = [each for each in judged if not each.verdict.right]
    text = f"{table(judged)}\n\n{goals_table(judged)}"
    sections = [Section("What the oracle sees", text, _some(judged))]
    if wrong:
        shown = _some(wrong)
        sections.append(Section("Wrong pictures", f"{len(shown)} of {len(wrong)}.", shown))
    return sections


def wrong_aspects(each: Judged) -> str:
    """What of the scene the picture has wrong: "things, colors"; empty where all is right."""
    verdict = each.verdict
    aspects = (field.name for field in fields(verdict) if not getattr(verdict, field.name))
    return ", ".join(aspects)


def _some(judged: Sequence[Judged]) -> tuple[Shown, ...]:
    """Evenly spread over all."""
    shown = min(MOST_SHOWN, len(judged))
    chosen = [judged[place * len(judged) // shown] for place in range(shown)]
    return tuple(_shown(each) for each in chosen)


def _shown(each: Judged) -> Shown:
    wrong = wrong_aspects(each)
    remark = f"wrong: {wrong}" if wrong else ""
    pixels = torch.from_numpy(each.pixels.copy())  # torch takes none that is read-only
    return Shown(pixels, each.prompt.text, each.prompt.seed, remark)
