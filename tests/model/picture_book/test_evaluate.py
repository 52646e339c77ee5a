"""The report counts what the oracle says."""

import random
from dataclasses import replace
from math import isclose, sqrt
from pathlib import Path

import numpy as np
import pytest

from model.cascade import Cascade
from model.picture_book.captions import Language
from model.picture_book.contact_sheet import contact_sheet
from model.picture_book.drawings import Pixels
from model.picture_book.evaluate import draw_with, report, table, wilson_interval
from model.picture_book.prompts import prompts
from tests.tiny_cascade import write_tiny_cascade

WITHOUT_GROUND = [prompt for prompt in prompts() if prompt.scene.ground is None]


def draw_true_but_one(texts: list[str], seeds: list[int]) -> list[Pixels]:
    """A perfect artist who leaves the first sheet bare."""
    scenes = {prompt.text: prompt.scene for prompt in prompts()}
    pictures = [
        scenes[text].draw(random.Random(seed), 64) for text, seed in zip(texts, seeds, strict=True)
    ]
    return [np.full_like(pictures[0], 255), *pictures[1:]]


def test_a_report_counts_right_pictures_by_category() -> None:
    lines = table(report(draw_true_but_one, WITHOUT_GROUND)).splitlines()
    assert lines[0].startswith("| asked for | pictures | right | 95 % interval | ground |")
    rows = {line.split(" | ")[0].strip("| *"): line.split(" | ")[1:3] for line in lines[2:]}
    assert rows["thing"] == ["10", "90.0 %"]
    assert rows["pairs and counts"] == ["10", "100.0 %"]
    assert rows["all"] == ["29", "96.6 %"]


def test_the_fixed_prompts_are_asked_where_none_are_given() -> None:
    asked: list[tuple[list[str], list[int]]] = []

    def draw(texts: list[str], seeds: list[int]) -> list[Pixels]:
        asked.append((texts, seeds))
        return [np.full((64, 64, 3), 255, np.uint8)] * len(texts)

    assert [each.prompt for each in report(draw)] == list(prompts())
    assert asked == [([each.text for each in prompts()], [each.seed for each in prompts()])]


def test_in_several_languages_each_has_a_column() -> None:
    english = report(draw_true_but_one, prompts()[:4])
    chinese = [
        replace(each, prompt=replace(each.prompt, language=Language.CHINESE))
        for each in english[1:]
    ]
    titles, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table([*english, *chinese]).splitlines()
    )
    whole = dict(zip(titles, rows[-1], strict=True))
    assert whole["right"] == "85.7 %"
    assert whole["right in English"] == "75.0 %"
    assert whole["right in Chinese"] == "100.0 %"
    assert "right in English" not in table(english)


def test_a_cascade_folder_draws_each_prompt_as_it_draws_it_alone(tmp_path: Path) -> None:
    folder = write_tiny_cascade(tmp_path)
    texts, seeds = ["a cat", "a red apple", "a dog"], [3, 4, 5]
    alone = Cascade.load(folder)
    for pixels, text, seed in zip(draw_with(folder)(texts, seeds), texts, seeds, strict=True):
        expected = alone.generate(text, seed=seed).pixels.numpy()
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.astype(int) - expected).max() <= 1


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


def test_a_contact_sheet_shows_large_pictures_small() -> None:
    left_half_white = np.zeros((512, 512, 3), np.uint8)
    left_half_white[:, :256] = 255
    sheet = contact_sheet([left_half_white], [True])
    assert sheet.size == (136, 136)
    assert [sheet.getpixel((x, 68)) for x in (67, 68)] == [(255, 255, 255), (0, 0, 0)]


def test_a_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], [])
