"""Every drawing parses, fills its box, and takes the colour that it is given."""

from importlib.resources import files

import numpy as np
import pytest

from model.picture_book.drawings import VIEW_BOX, Pixels, Placed, drawing, render
from model.picture_book.things import COLORS, THINGS

PURE_GREEN, MAGENTA, CYAN = "#00ff00", "#ff00ff", "#00ffff"
SIZE_PX = 200
PALER_THAN_NAMED = {"cloud"}


def in_the_middle(name: str, color: str) -> Pixels:
    placed = Placed(drawing(name), color, x=0.5, y=0.5, side=0.5)
    return render((placed,), PURE_GREEN, SIZE_PX)


def test_the_world_has_ninety_six_things_and_a_drawing_of_each() -> None:
    assert len(THINGS) == 96
    drawn = {file.name for file in (files("model.picture_book") / "drawings").iterdir()}
    assert drawn == {f"{name.replace(' ', '_')}.svg" for name in THINGS}


@pytest.mark.parametrize("name", THINGS)
def test_a_drawing_fills_its_box_and_stays_in_it(name: str) -> None:
    drawn = (in_the_middle(name, MAGENTA) != (0, 255, 0)).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    box_px = SIZE_PX // 2
    first, last = box_px // 2, box_px // 2 + box_px - 1
    assert min(rows[0], columns[0]) >= first
    assert max(rows[-1], columns[-1]) <= last
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    assert longest >= 0.8 * box_px, f"{name} fills {longest} of {box_px} px of a {VIEW_BOX} box"


@pytest.mark.parametrize("name", THINGS)
def test_a_named_color_repaints_a_tenth_of_the_box_or_more(name: str) -> None:
    changed = (in_the_middle(name, MAGENTA) != in_the_middle(name, CYAN)).any(axis=2)
    assert changed.sum() > 0.1 * (SIZE_PX // 2) ** 2


@pytest.mark.parametrize("name", sorted(THINGS.keys() - PALER_THAN_NAMED))
def test_the_natural_color_is_the_one_it_goes_by(name: str) -> None:
    assert drawing(name).color == COLORS[THINGS[name].color]
