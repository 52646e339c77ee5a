"""The report counts what the oracle says."""

import random
from math import isclose, sqrt

import numpy as np
import pytest

from model.picture_book.contact_sheet import contact_sheet
from model.picture_book.drawings import Pixels
from model.picture_book.evaluate import report, table, wilson_interval
from model.picture_book.prompts import prompts


def draw_true_but_one(texts: list[str], seeds: list[int]) -> list[Pixels]:
    """A perfect artist who leaves the first sheet bare."""
    scenes = {prompt.text: prompt.scene for prompt in prompts()}
    pictures = [
        scenes[text].draw(random.Random(seed), 64) for text, seed in zip(texts, seeds, strict=True)
    ]
    return [np.full_like(pictures[0], 255), *pictures[1:]]


def test_a_report_counts_right_pictures_by_category() -> None:
    lines = table(report(draw_true_but_one)).splitlines()
    assert lines[0].startswith("| asked for | pictures | right | 95 % interval | ground |")
    rows = {line.split(" | ")[0].strip("| *"): line.split(" | ")[1:3] for line in lines[2:]}
    assert rows["thing"] == ["9", "88.9 %"]
    assert rows["pairs and counts"] == ["16", "100.0 %"]
    assert rows["all"] == ["40", "97.5 %"]


@pytest.mark.parametrize(("successes", "trials"), [(1, 40), (20, 40), (38, 40), (97, 100)])
def test_wilson_ends_are_the_rates_that_lie_just_z_deviations_off(
    successes: int, trials: int
) -> None:
    observed = successes / trials
    for end in wilson_interval(successes, trials, z=1.96):
        deviation = sqrt(end * (1 - end) / trials)
        assert isclose(abs(observed - end), 1.96 * deviation)


@pytest.mark.parametrize(("successes", "edge"), [(0, 0.0), (10, 1.0)])
def test_wilson_stays_a_rate(successes: int, edge: float) -> None:
    low, high = wilson_interval(successes, 10)
    assert 0 <= low < high <= 1
    assert edge in (low, high)


def test_a_contact_sheet_frames_the_wrong_ones_in_red() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    sheet = contact_sheet([picture] * 3, [True, False, True], columns=2)
    assert sheet.size == (48, 48)
    assert sheet.getpixel((0, 0)) == (255, 255, 255)
    assert sheet.getpixel((25, 0)) == (208, 0, 0)


def test_a_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], [])
