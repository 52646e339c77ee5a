"""Says what a picture shows, whatever was asked for: its ground and the figures that stand on it.

A picture shows the drawing that leaves least of it unexplained. No learned part.
"""

from dataclasses import dataclass

import numpy as np

from model.picture_book.candidates import SIDES, candidates
from model.picture_book.drawings import Pixels
from model.picture_book.eye import CUTOUT_PX, EYE_PX, Floats, Window, cut_out, rgb, see, window_of
from model.picture_book.scenes import Figure
from model.picture_book.things import GROUNDS

_BORDER_PX = 3
_PRICE_OF_A_FIGURE = 0.05
"""The share of a picture that one figure more must explain, lest a clumsy one passes for four."""
_ZOOMS = (0.84, 0.92, 1.0, 1.09, 1.19)
_SHIFTS = np.linspace(-0.12, 0.12, 5, dtype=np.float32)
_EVERY_OTHER = np.arange(len(_ZOOMS) * len(_SHIFTS) ** 2).reshape(-1, 5, 5)[::2, ::2, ::2].ravel()
"""Of the windows, along each axis: enough to find the likely candidates."""
_LIKELY = 48
"""Candidates that are looked at in all windows."""
_STRENGTHS = (0.8, 1.0)

_ALL, _FIRST, _LAST = slice(None), slice(None, EYE_PX // 2), slice(EYE_PX // 2, None)
_CELLS = {
    "all": (_ALL, _ALL),
    "left": (_ALL, _FIRST),
    "right": (_ALL, _LAST),
    "top": (_FIRST, _ALL),
    "bottom": (_LAST, _ALL),
    "top left": (_FIRST, _FIRST),
    "top right": (_FIRST, _LAST),
    "bottom left": (_LAST, _FIRST),
    "bottom right": (_LAST, _LAST),
}
"""Rows and columns of the parts of a picture that hold one figure each."""
_LAYOUTS = (
    ("all",),
    ("left", "right"),
    ("top", "bottom"),
    ("top", "bottom left", "bottom right"),
    ("top left", "top right", "bottom"),
    ("top left", "top right", "bottom left", "bottom right"),
)


@dataclass(frozen=True)
class SeenFigure:
    """A figure in a picture: centre and side in parts of the canvas, as in a scene's spots."""

    figure: Figure
    x: float
    y: float
    side: float
    likeness: float
    """The share of what stands out from the ground here that the figure explains: up to 1."""


@dataclass(frozen=True)
class Seen:
    """What a picture shows."""

    ground: str
    figures: tuple[SeenFigure, ...]


@dataclass(frozen=True)
class _Find:
    figure: SeenFigure
    explained: float
    """In squared contrast, summed over pixels."""


def look(pixels: Pixels) -> Seen:
    """Name the ground, then the figures in the layout that explains most of a square picture."""
    picture = see(pixels)
    name, shade = _ground(picture)
    contrast = picture - shade
    finds = {cell: _find(contrast, place, name) for cell, place in _CELLS.items()}
    price = _PRICE_OF_A_FIGURE * float(np.square(contrast).sum())
    layouts = [[find for cell in layout if (find := finds[cell])] for layout in _LAYOUTS]
    best = max(layouts, key=lambda found: sum(find.explained - price for find in found))
    return Seen(ground=name, figures=tuple(find.figure for find in best))


def _ground(picture: Floats) -> tuple[str, Floats]:
    """The named ground that most of the border is nearest to, and its shade in this picture."""
    inside = slice(_BORDER_PX, -_BORDER_PX)
    is_border = np.ones(picture.shape[:2], bool)
    is_border[inside, inside] = False
    border = picture[is_border]
    named = np.stack([rgb(color) for color in GROUNDS.values()])
    votes = np.linalg.norm(border[:, None] - named, axis=2).argmin(axis=1)
    winner = int(np.bincount(votes).argmax())
    return tuple(GROUNDS)[winner], np.median(border[votes == winner], axis=0)


def _find(contrast: Floats, cell: tuple[slice, slice], ground: str) -> _Find | None:
    """The figure that explains most of one cell; None where the cell is bare ground."""
    alone = np.zeros_like(contrast)
    alone[cell] = contrast[cell]
    box = window_of(alone)
    if box is None:
        return None
    known = candidates(ground, min(SIDES, key=lambda side: abs(side * EYE_PX - box.side)))
    windows = _windows(box)
    seen = np.concatenate([_cut_outs(alone, box, zoom) for zoom in _ZOOMS])
    areas = np.array([(window.side / CUTOUT_PX) ** 2 for window in windows], np.float32)
    roughly = _explained(seen[_EVERY_OTHER], known.cutouts, known.squares, areas[_EVERY_OTHER])
    likely = roughly.max(axis=0).argpartition(-_LIKELY)[-_LIKELY:]
    explained = _explained(seen, known.cutouts[likely], known.squares[likely], areas)
    where, best = np.unravel_index(int(explained.argmax()), explained.shape)
    which, window, most = likely[best], windows[where], float(explained[where, best])
    figure = SeenFigure(
        figure=known.figures[which],
        x=window.x / EYE_PX,
        y=window.y / EYE_PX,
        side=window.side * float(known.sides[which]) / EYE_PX,
        likeness=most / float(np.square(alone).sum()),
    )
    return _Find(figure, most)


def _explained(seen: Floats, cutouts: Floats, squares: Floats, areas: Floats) -> Floats:
    """|seen|^2 - |seen - strength * candidate|^2, summed over the picture's pixels: [W, K].

    seen: [W, D], in windows of areas [W]; cutouts: [K, D], of squares [K]. The strength is the best
    of _STRENGTHS: what stands a little askew overlaps less, as if it were paler.
    """
    overlap = seen @ cutouts.T
    strength = np.clip(overlap / squares, *_STRENGTHS)
    return np.asarray(strength * (2 * overlap - strength * squares) * areas[:, None], np.float32)


def _windows(box: Window) -> list[Window]:
    """The box and its neighbours, in the order of _cut_outs."""
    return [
        Window(box.x + float(dx) * box.side, box.y + float(dy) * box.side, box.side * zoom)
        for zoom in _ZOOMS
        for dy in _SHIFTS
        for dx in _SHIFTS
    ]


def _cut_outs(contrast: Floats, box: Window, zoom: float) -> Floats:
    shifts = _SHIFTS * np.float32(box.side)
    return cut_out(contrast, box.x + shifts, box.y + shifts, box.side * zoom)
