"""Renders SVG: the drawings of the picture-book's things, alone or placed in a scene.

Knows nothing of captions or of what a scene means.
"""

import io
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""[height, width, 3], 0 to 255."""

VIEW_BOX = 100
_SKELETON = re.compile(
    r'<svg [^>]*?color="(?P<color>#[0-9a-f]{6})"[^>]*>(?P<shapes>.*)</svg>', re.DOTALL
)


@dataclass(frozen=True)
class Drawing:
    """One thing: shapes in a box of 100 x 100, the main ones filled with currentColor."""

    shapes: str
    color: str


@dataclass(frozen=True)
class Placed:
    """A drawing in a canvas of 1 x 1: its centre, its side, and its main colour as #rrggbb."""

    drawing: Drawing
    color: str
    x: float
    y: float
    side: float

    def markup(self) -> str:
        left, top = self.x - self.side / 2, self.y - self.side / 2
        scale = self.side / VIEW_BOX
        transform = f"translate({left:.4f} {top:.4f}) scale({scale:.6f})"
        return f'<g color="{self.color}" transform="{transform}">{self.drawing.shapes}</g>'


@cache
def drawing(name: str) -> Drawing:
    """The drawing of a thing, by the thing's name ("ice cream")."""
    file = files(__package__) / "drawings" / f"{name.replace(' ', '_')}.svg"
    match = _SKELETON.search(file.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{file}: the root needs a color attribute, its natural main colour")
    return Drawing(shapes=match["shapes"], color=match["color"])


def render(placed: tuple[Placed, ...], ground: str, size_px: int) -> Pixels:
    """Draw things on a ground of one colour (#rrggbb), at any size."""
    markup = "".join(each.markup() for each in placed)
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">'
        f'<rect width="1" height="1" fill="{ground}"/>{markup}</svg>'
    )
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=size_px, height=size_px, skip_system_fonts=True
    )
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
