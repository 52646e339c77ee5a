"""How often a cascade draws what it is asked, by the oracle. Knows not how it draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from pathlib import Path

from model.picture_book.captions import Language
from model.picture_book.drawings import Pixels
from model.picture_book.oracle import Verdict, judge
from model.picture_book.prompts import Prompt, prompts
from model.picture_book.scenes import Single

Draw = Callable[[list[str], list[int]], list[Pixels]]
"""Draws a picture for each prompt with its seed."""

_ASPECTS = tuple(field.name for field in fields(Verdict))


@dataclass(frozen=True)
class Judged:
    """A picture, what was asked for, and what the oracle says."""

    prompt: Prompt
    pixels: Pixels
    verdict: Verdict


def report(draw: Draw, asked: Sequence[Prompt] | None = None) -> tuple[Judged, ...]:
    """Draw and judge the fixed prompts, or those given."""
    asked = prompts() if asked is None else asked
    pictures = draw([prompt.text for prompt in asked], [prompt.seed for prompt in asked])
    return tuple(
        Judged(prompt, pixels, judge(pixels, prompt.scene))
        for prompt, pixels in zip(asked, pictures, strict=True)
    )


def table(judged: Sequence[Judged]) -> str:
    """A Markdown table: the rate of right pictures by category, and of each aspect by itself.

    Where prompts are in several languages, the rate of right pictures in each of them too.
    """
    groups: dict[str, list[Judged]] = {}
    for each in judged:
        groups.setdefault(each.prompt.category, []).append(each)
    singles = [each for each in judged if isinstance(each.prompt.scene.subject, Single)]
    several = [each for each in judged if not isinstance(each.prompt.scene.subject, Single)]
    groups |= {"**single things**": singles, "**pairs and counts**": several}
    groups["**all**"] = list(judged)
    asked = {each.prompt.language for each in judged}
    languages = [language for language in Language if language in asked and len(asked) > 1]
    titles = (
        *("asked for", "pictures", "right", "95 % interval"),
        *(f"right in {language.name.capitalize()}" for language in languages),
        *_ASPECTS,
    )
    rows = [_row(name, group, languages) for name, group in groups.items() if group]
    return markdown(titles, rows)


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [titles, ["---", *["--:"] * (len(titles) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, group: Sequence[Judged], languages: Sequence[Language]) -> list[str]:
    right = sum(each.verdict.right for each in group)
    low, high = wilson_interval(right, len(group))
    by_language = [
        [each.verdict.right for each in group if each.prompt.language == language]
        for language in languages
    ]
    by_aspect = [[getattr(each.verdict, aspect) for each in group] for aspect in _ASPECTS]
    rates = (sum(verdicts) / len(verdicts) if verdicts else None for verdicts in by_language)
    return [
        name,
        str(len(group)),
        percent(right / len(group)),
        f"{percent(low)} to {percent(high)}",
        *("" if rate is None else percent(rate) for rate in rates),
        *(percent(sum(verdicts) / len(group)) for verdicts in by_aspect),
    ]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Where a rate lies, with 95 % confidence (Wilson 1927; Agresti & Coull 1998)."""
    rate = successes / trials
    center = rate + z * z / (2 * trials)
    spread = z * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def draw_with(folder: Path | None) -> Draw:
    """Draw with a cascade folder, as it is served by default; None is the cascade in the box."""
    from model.cascade import Cascade  # torch is slow to import, and judging needs none
    from model.evaluation.drawing import draw

    cascade = Cascade.load(folder)

    def pictures(texts: list[str], seeds: list[int]) -> list[Pixels]:
        return [drawn.pixels.numpy(force=True) for drawn in draw(cascade, texts, seeds)]

    return pictures
