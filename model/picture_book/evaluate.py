"""Measures how often a cascade draws what it is asked, by the oracle.

python -m model.picture_book.evaluate [--cascade DIR] [--per-category N] [--sheet FILE]
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from pathlib import Path

from model.picture_book.contact_sheet import contact_sheet
from model.picture_book.drawings import Pixels
from model.picture_book.oracle import Verdict, judge
from model.picture_book.prompts import Prompt, prompts, prompts_by_category
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
    """Draw and judge the forty prompts, or those given."""
    asked = prompts() if asked is None else asked
    pictures = draw([prompt.text for prompt in asked], [prompt.seed for prompt in asked])
    return tuple(
        Judged(prompt, pixels, judge(pixels, prompt.scene))
        for prompt, pixels in zip(asked, pictures, strict=True)
    )


def table(judged: Sequence[Judged]) -> str:
    """A Markdown table: the rate of right pictures by category, and of each aspect by itself."""
    groups: dict[str, list[Judged]] = {}
    for each in judged:
        groups.setdefault(each.prompt.category, []).append(each)
    singles = [each for each in judged if isinstance(each.prompt.scene.subject, Single)]
    several = [each for each in judged if not isinstance(each.prompt.scene.subject, Single)]
    groups |= {"**single things**": singles, "**pairs and counts**": several}
    groups["**all**"] = list(judged)
    titles = ("asked for", "pictures", "right", "95 % interval", *_ASPECTS)
    lines = [titles, ("---",) + ("--:",) * (len(titles) - 1)]
    lines += [_row(name, group) for name, group in groups.items() if group]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, group: Sequence[Judged]) -> tuple[str, ...]:
    right = sum(each.verdict.right for each in group)
    low, high = wilson_interval(right, len(group))
    aspects = [sum(getattr(each.verdict, aspect) for each in group) for aspect in _ASPECTS]
    return (
        name,
        str(len(group)),
        _percent(right / len(group)),
        f"{_percent(low)} to {_percent(high)}",
        *(_percent(count / len(group)) for count in aspects),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Where a rate lies, with 95 % confidence (Wilson 1927; Agresti & Coull 1998)."""
    rate = successes / trials
    center = rate + z * z / (2 * trials)
    spread = z * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def draw_with(folder: Path | None) -> Draw:
    """Draw with a cascade folder, one picture at a time; None is the cascade in the box."""
    from model.cascade import Cascade  # torch is slow to import, and judging needs none

    cascade = Cascade.load(folder)

    def draw(texts: list[str], seeds: list[int]) -> list[Pixels]:
        return [
            cascade.generate(text, seed=seed).pixels.numpy(force=True)
            for text, seed in zip(texts, seeds, strict=True)
        ]

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description="How often a cascade draws what it is asked.")
    parser.add_argument("--cascade", type=Path, metavar="DIR", help="default: the one in the box")
    parser.add_argument(
        "--per-category", type=int, metavar="N", help="N prompts of each category, not the forty"
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also save a contact sheet")
    options = parser.parse_args()
    if options.per_category is not None and options.per_category < 1:
        parser.error("--per-category: ask for at least 1")
    asked = prompts_by_category(options.per_category) if options.per_category else prompts()
    judged = report(draw_with(options.cascade), asked)
    print(table(judged))
    for each in judged:
        if not each.verdict.right:
            wrong = [name for name in _ASPECTS if not getattr(each.verdict, name)]
            print(f"wrong {', '.join(wrong)}: {each.prompt.text!r}, seed {each.prompt.seed}")
    if options.sheet:
        rights = [each.verdict.right for each in judged]
        contact_sheet([each.pixels for each in judged], rights).save(options.sheet)


if __name__ == "__main__":
    main()
