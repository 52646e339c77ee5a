"""All that there is to see: every thing in every colour on a ground, as the eye has it.

Knows nothing of layouts or of what was asked for.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from model.picture_book.drawings import Placed, drawing, render
from model.picture_book.eye import EYE_PX, Floats, cut_out, rgb, see, window_of
from model.picture_book.scenes import Figure
from model.picture_book.things import COLORS, GROUNDS, THINGS

SIDES = (0.4, 0.7, 0.95)
"""The sides that things are drawn at to be compared; the smaller, the softer the eye sees them."""


@dataclass(frozen=True)
class Candidates:
    """Every figure that can be seen on one ground."""

    figures: tuple[Figure, ...]
    cutouts: Floats
    """[figures, CUTOUT_PX * 3 * CUTOUT_PX]: contrast to the ground."""
    squares: Floats
    """[figures]: the squared contrast of each, summed."""
    sides: Floats
    """[figures]: the side of the drawing's box, in sides of the window that shows it."""


@cache
def candidates(ground: str, side: float) -> Candidates:
    """All that can be seen on a ground (its name), drawn at one of SIDES."""
    bare = rgb(GROUNDS[ground])
    figures: list[Figure] = []
    cutouts: list[Floats] = []
    sides: list[float] = []
    for thing in THINGS.values():
        layers = _layers(thing.name, side)
        unpainted = layers.fixed + layers.ground * bare - bare
        for figure in (Figure(thing), *(Figure(thing, color) for color in COLORS)):
            contrast = unpainted + layers.main * rgb(figure.color_hex)
            window = window_of(contrast)
            if window is None:
                continue
            center = np.array([[window.x], [window.y]], np.float32)
            figures.append(figure)
            cutouts.append(cut_out(contrast, center[0], center[1], window.side)[0])
            sides.append(side * EYE_PX / window.side)
    stacked = np.stack(cutouts)
    squares = np.asarray(np.square(stacked).sum(axis=1), np.float32)
    return Candidates(tuple(figures), stacked, squares, np.array(sides, np.float32))


@dataclass(frozen=True)
class _Layers:
    """A drawing taken apart: a picture of it is linear in its main colour and in its ground."""

    fixed: Floats
    main: Floats
    ground: Floats


@cache
def _layers(name: str, side: float) -> _Layers:
    def shot(color: str, ground: str) -> Floats:
        placed = Placed(drawing(name), color, 0.5, 0.5, side)
        return see(render((placed,), ground, 2 * EYE_PX))

    fixed = shot("#000000", "#000000")
    return _Layers(
        fixed=fixed,
        main=shot("#ffffff", "#000000") - fixed,
        ground=shot("#000000", "#ffffff") - fixed,
    )
