"""How often the cascade in the box draws what it is asked, by the oracle: the README's table."""

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.figures import keep
from model.picture_book.evaluate import Judged, draw_with, report, table
from model.picture_book.prompts import prompts_by_category

PER_CATEGORY = 5


def main() -> None:
    draw = draw_with(None)
    forty = report(draw)
    print("The forty prompts\n\n" + table(forty) + "\n")
    whole = report(draw, prompts_by_category(PER_CATEGORY))
    print(f"{PER_CATEGORY} of each category\n\n" + table(whole) + "\n")
    keep("pictures", {"forty": _rates(forty), "by_category": _rates(whole)})


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
