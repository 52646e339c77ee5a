"""How often the cascade in the box draws what it is asked, by the oracle: the README's table."""

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.figures import keep
from model.evaluation.picture_book import asked_in_every_language
from model.picture_book.evaluate import Judged, draw_with, report, table
from model.picture_book.goals import goals, goals_table

PER_CATEGORY = 8


def main() -> None:
    judged = report(draw_with(None), asked_in_every_language(PER_CATEGORY))
    print(f"{PER_CATEGORY} of each category, in each language\n")
    print(table(judged) + "\n\n" + goals_table(judged))
    reached = {
        goal.name: round(goal.reached.value, 3)
        for goal in goals(judged)
        if goal.reached is not None
    }
    keep("pictures", {"goals": reached, "by_aspect": _rates(judged)})


def _rates(judged: Sequence[Judged]) -> dict[str, float]:
    """The share of pictures that are right, and right in each aspect."""
    verdicts = [asdict(each.verdict) for each in judged]
    rates = {
        aspect: sum(verdict[aspect] for verdict in verdicts) / len(verdicts)
        for aspect in verdicts[0]
    }
    right = sum(each.verdict.right for each in judged) / len(judged)
    return {name: round(rate, 3) for name, rate in {"right": right, **rates}.items()}


if __name__ == "__main__":
    main()
