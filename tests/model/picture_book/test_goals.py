"""The six figures count what they say they count."""

from dataclasses import replace
from math import comb, sqrt

import numpy as np
import pytest

from model.picture_book.captions import Language
from model.picture_book.evaluate import Judged, wilson_interval
from model.picture_book.goals import Goal, goals, goals_table, paired_interval
from model.picture_book.held_out import is_held_out
from model.picture_book.oracle import Verdict
from model.picture_book.prompts import Prompt, prompts_by_category
from model.picture_book.scenes import Count, Pair, Single

RIGHT = Verdict(ground=True, count=True, things=True, colors=True, size=True, placing=True)
PIXELS = np.zeros((1, 1, 3), np.uint8)
ENGLISH, CHINESE = (prompts_by_category(2, language) for language in Language)


def judged(prompts: tuple[Prompt, ...], verdict: Verdict = RIGHT) -> list[Judged]:
    return [Judged(prompt, PIXELS, verdict) for prompt in prompts]


def by_name(pictures: list[Judged]) -> dict[str, Goal]:
    return {goal.name: goal for goal in goals(pictures)}


def values(pictures: list[Judged]) -> dict[str, float | None]:
    return {
        goal.name: None if goal.reached is None else goal.reached.value for goal in goals(pictures)
    }


def test_what_is_all_right_meets_every_goal() -> None:
    reached = goals(judged(ENGLISH) + judged(CHINESE))
    assert len(reached) == 6
    assert all(goal.is_met for goal in reached)


@pytest.mark.parametrize(
    ("aspect", "spoiled"),
    [
        ("ground", {"ground"}),
        ("count", {"single thing", "count"}),
        ("things", {"single thing", "count"}),
        ("colors", {"color of a thing"}),
        ("size", set()),
        ("placing", {"pair placed"}),
    ],
)
def test_an_aspect_spoils_the_figures_that_need_it(aspect: str, spoiled: set[str]) -> None:
    wrong = judged(ENGLISH, replace(RIGHT, **{aspect: False}))
    reached = values(wrong)
    assert {name for name, value in reached.items() if value == 0} == spoiled
    assert {value for name, value in reached.items() if name not in spoiled} == {1, None}


def test_each_figure_counts_its_own_pictures() -> None:
    pictures = {
        goal.name: goal.reached and goal.reached.pictures for goal in goals(judged(ENGLISH))
    }
    kinds = [type(prompt.scene.subject) for prompt in ENGLISH]
    assert pictures == {
        "single thing": kinds.count(Single),
        "color of a thing": sum(
            any(figure.color for figure in prompt.scene.subject.figures) for prompt in ENGLISH
        ),
        "pair placed": kinds.count(Pair),
        "count": kinds.count(Count),
        "ground": len(ENGLISH),
        "Chinese less English": None,
    }


def test_a_rate_has_wilsons_interval_and_is_met_by_its_value() -> None:
    pictures = judged(ENGLISH)
    pictures[0] = replace(pictures[0], verdict=replace(RIGHT, ground=False))
    ground = by_name(pictures)["ground"]
    assert ground.reached is not None
    count = len(ENGLISH)
    assert ground.reached.value == (count - 1) / count
    assert ground.reached.interval == wilson_interval(count - 1, count)
    assert ground.is_met == (1 / count <= 0.01)


def test_languages_are_compared_on_what_was_asked_in_both() -> None:
    english, chinese = judged(ENGLISH), judged(CHINESE)
    for wrong in (0, 1, 2):
        chinese[wrong] = replace(chinese[wrong], verdict=replace(RIGHT, size=False))
    english[2] = replace(english[2], verdict=replace(RIGHT, ground=False))
    english[3] = replace(english[3], verdict=replace(RIGHT, ground=False))
    difference = by_name(english[:20] + chinese)["Chinese less English"]
    assert difference.reached is not None
    assert difference.reached.pictures == 20
    assert difference.reached.value == pytest.approx((1 - 2) / 20)
    assert difference.reached.interval == paired_interval(1, 2, 20)
    assert not difference.is_met


def test_a_goal_of_which_nothing_was_asked_is_not_met() -> None:
    assert all(goal.reached is None and not goal.is_met for goal in goals([]))


def test_the_table_tells_held_out_combinations_apart() -> None:
    pictures = [
        Judged(prompt, PIXELS, replace(RIGHT, colors=not is_held_out(prompt.scene)))
        for prompt in ENGLISH
    ]
    titles, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in goals_table(pictures).splitlines()
    ]
    cells = {row[0]: dict(zip(titles, row, strict=True)) for row in rows}
    assert len(cells) == 6
    color = cells["color of a thing"]
    assert color["wanted"] == "95 %"
    assert color["held out, reached"] == "0.0 %"
    assert 0 < float(color["reached"].removesuffix(" %")) < 100
    assert (color["met"], color["held out, met"]) == ("no", "no")
    assert cells["ground"]["held out, reached"] == "100.0 %"
    assert cells["Chinese less English"]["pictures"] == "0"


@pytest.mark.parametrize(("gained", "lost"), [(0.02, 0.02), (0.05, 0.1), (0.2, 0.05)])
def test_the_paired_interval_holds_the_truth_nineteen_times_in_twenty(
    gained: float, lost: float
) -> None:
    """Over every outcome of 60 pairs, by its exact (trinomial) probability."""
    pairs, held = 60, 0.0
    for more in range(pairs + 1):
        for less in range(pairs + 1 - more):
            low, high = paired_interval(more, less, pairs)
            if low <= gained - lost <= high:
                ways = comb(pairs, more) * comb(pairs - more, less)
                same = (1 - gained - lost) ** (pairs - more - less)
                held += ways * gained**more * lost**less * same
    assert 0.935 < held <= 1


def test_the_paired_interval_is_no_point_where_all_pairs_agree() -> None:
    """Half a pair gained and half a pair lost, of two more than there are."""
    assert paired_interval(0, 0, 98) == pytest.approx((-0.0196, 0.0196))
    assert paired_interval(0, 1, 1)[0] == -1


def test_the_paired_interval_comes_near_walds_where_pairs_are_many() -> None:
    gained, lost, pairs = 3000, 2000, 100_000
    spread = 1.96 * sqrt(gained + lost - (gained - lost) ** 2 / pairs) / pairs
    low, high = paired_interval(gained, lost, pairs)
    assert (low, high) == pytest.approx((0.01 - spread, 0.01 + spread), rel=1e-2)
