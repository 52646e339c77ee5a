"""The oracle's sections: what is asked, what is counted, and which pictures are shown of it."""

from pathlib import Path

import numpy as np
import pytest

from model.cascade import Cascade
from model.evaluation.picture_book import (
    asked_in_every_language,
    judge_pictures,
    sections_of,
    wrong_aspects,
)
from model.picture_book.captions import Language
from model.picture_book.evaluate import Judged, table
from model.picture_book.goals import goals_table
from model.picture_book.oracle import Verdict, judge
from model.picture_book.prompts import CATEGORIES, prompts

RIGHT = Verdict(ground=True, count=True, things=True, colors=True, size=True, placing=True)
WRONG = Verdict(ground=True, count=True, things=False, colors=False, size=True, placing=True)


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """As an artist has it who leaves the first three sheets bare."""
    ink, bare = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    asked = prompts()
    return [
        *(Judged(prompt, bare, WRONG) for prompt in asked[:3]),
        *(Judged(prompt, ink, RIGHT) for prompt in asked[3:]),
    ]


@pytest.mark.parametrize("per_category", [None, 2])
def test_the_same_is_asked_in_every_language(per_category: int | None) -> None:
    asked = asked_in_every_language(per_category)
    by_language = [
        [(each.scene, each.seed) for each in asked if each.language == language]
        for language in Language
    ]
    count = len(prompts()) if per_category is None else per_category * len(CATEGORIES)
    assert [len(each) for each in by_language] == [count] * len(Language)
    assert all(each == by_language[0] for each in by_language)


def test_the_cascades_own_pictures_are_judged(tiny_cascade: Path) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32")
    asked = prompts()[:2]
    told: list[tuple[str, int, int]] = []
    judged = judge_pictures(cascade, asked, lambda *each: told.append(each))
    for each, prompt in zip(judged, asked, strict=True):
        assert each.prompt == prompt
        alone = cascade.generate(prompt.text, seed=prompt.seed).pixels.numpy()
        assert abs(each.pixels.astype(int) - alone.astype(int)).max() <= 1
        assert each.verdict == judge(each.pixels, prompt.scene)
    assert told == [("pictures of scenes", 2, 2)]


def test_rates_and_goals_are_told_with_pictures_from_all_over(judged: list[Judged]) -> None:
    whole, _ = sections_of(judged)
    assert table(judged) in whole.text
    assert goals_table(judged) in whole.text
    assert [each.seed for each in whole.pictures] == list(range(0, len(judged), 2))


def test_wrong_pictures_are_shown_with_what_is_wrong(judged: list[Judged]) -> None:
    _, wrong = sections_of(judged)
    assert [each.seed for each in wrong.pictures] == [0, 1, 2]
    assert {each.remark for each in wrong.pictures} == {"wrong: things, colors"}
    assert np.all(wrong.pictures[0].pixels.numpy() == 255)


def test_where_all_is_right_nothing_wrong_is_shown(judged: list[Judged]) -> None:
    (whole,) = sections_of(judged[3:])
    assert not any(each.remark for each in whole.pictures)
    assert {wrong_aspects(each) for each in judged[3:]} == {""}
