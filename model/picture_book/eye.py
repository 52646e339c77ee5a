"""How the oracle sees: soft, as the cascade's 32 px base does, one square window at a time.

Pictures and the candidates they are compared with go through the same eye. Knows no thing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from model.picture_book.drawings import Pixels

Floats = NDArray[np.float32]

EYE_PX = 64
"""Side of every picture as it is seen."""
CUTOUT_PX = 20
"""Side of every window's content as it is compared."""

_SOFTNESS_PX = 1.4
_VISIBLE_CONTRAST = 0.13
_STRAY_SHARE = 0.01
_MARGIN = 1.1


@dataclass(frozen=True)
class Window:
    """A square on a picture, in pixels of the eye: its centre and its side."""

    x: float
    y: float
    side: float


def see(pixels: Pixels) -> Floats:
    """A square picture as the eye has it: [EYE_PX, EYE_PX, 3] in [0, 1]."""
    image = Image.fromarray(pixels).resize((EYE_PX, EYE_PX), Image.Resampling.BOX)
    soft = image.filter(ImageFilter.GaussianBlur(_SOFTNESS_PX))
    return np.asarray(soft, np.float32) / np.float32(255)


def rgb(color: str) -> Floats:
    """#rrggbb as [3] in [0, 1]."""
    return np.array(list(bytes.fromhex(color.removeprefix("#"))), np.float32) / np.float32(255)


def window_of(contrast: Floats) -> Window | None:
    """The window around what differs from the ground; None where nothing does.

    contrast: [EYE_PX, EYE_PX, 3], picture minus ground. A stray speck does not widen the window.
    """
    visible = np.einsum("yxc,yxc->yx", contrast, contrast) > _VISIBLE_CONTRAST**2
    if not visible.any():
        return None
    left, right = _extent(visible.sum(axis=0))
    top, bottom = _extent(visible.sum(axis=1))
    side = max(right - left, bottom - top) * _MARGIN
    return Window(x=(left + right) / 2, y=(top + bottom) / 2, side=side)


def _extent(visible: NDArray[np.int_]) -> tuple[float, float]:
    """Where on an axis all but the outermost visible pixels lie."""
    share = np.concatenate([[0.0], np.cumsum(visible) / visible.sum()])
    start, end = np.interp((_STRAY_SHARE, 1 - _STRAY_SHARE), share, np.arange(len(share)))
    return float(start), float(end)


def cut_out(contrast: Floats, x: Floats, y: Floats, side: float) -> Floats:
    """What is in the windows of one side around each centre (x, y), at equal size.

    x: [X], y: [Y]. Returns [Y * X, CUTOUT_PX * 3 * CUTOUT_PX]; beyond the picture is ground.
    """
    rows, columns = _averaging(y, side), _averaging(x, side)
    by_row = contrast.transpose(0, 2, 1).reshape(EYE_PX, 3 * EYE_PX)
    bands = (rows @ by_row).reshape(len(y), 1, CUTOUT_PX * 3, EYE_PX)
    cut = np.asarray(bands @ columns.transpose(0, 2, 1), np.float32)
    return cut.reshape(len(y) * len(x), -1)


def _averaging(centers: Floats, side: float) -> Floats:
    """[K, CUTOUT_PX, EYE_PX]: matrices that average the pixels of one axis into a window's bins."""
    bin_px = side / CUTOUT_PX
    starts = centers[:, None, None] - side / 2 + np.arange(CUTOUT_PX)[:, None] * bin_px
    pixels = np.arange(EYE_PX)
    overlap = np.minimum(starts + bin_px, pixels + 1) - np.maximum(starts, pixels)
    return np.asarray(np.clip(overlap, 0, None) / bin_px, np.float32)
