"""A picture in a file of its own or in a part of one: its name, its captions, its pixels."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from model.errors import InvalidTraining


@dataclass(frozen=True, slots=True)
class PictureFile:
    """name: its own, the same wherever the data lie. captions: at least one.

    begin, size_bytes: the part of the file that it is; -1 goes to the end.
    """

    name: str
    captions: tuple[str, ...]
    shorter_side_px: int
    file: Path
    begin: int = 0
    size_bytes: int = -1

    def square(self, size_px: int, along: float = 0.5, mirrored: bool = False) -> Tensor:
        """[3, size_px, size_px] in [-1, 1], float32: as large a square as there is, made smaller.

        along: where the square lies on the longer side, from 0 to 1. Raises InvalidTraining.
        """
        try:
            picture = self._picture(size_px)
        except Exception as error:  # Pillow raises whatever it likes
            raise _unreadable(self.name, error) from error
        side = min(picture.size)
        left, top = (along * (length - side) for length in picture.size)
        square = picture.resize(
            (size_px, size_px), Image.Resampling.LANCZOS, (left, top, left + side, top + side)
        )
        pixels = torch.from_numpy(np.array(ImageOps.mirror(square) if mirrored else square))
        return pixels.permute(2, 0, 1).contiguous().float() / 127.5 - 1

    def _picture(self, size_px: int) -> Image.Image:
        """Upright, on white where it is transparent, at least twice as large where it can be."""
        with self.file.open("rb") as file:
            file.seek(self.begin)
            content = file.read(self.size_bytes)
        with Image.open(BytesIO(content)) as opened:
            # A JPEG is decoded much faster where it may come out smaller by a power of two.
            opened.draft(None, (2 * size_px, 2 * size_px))
            picture = ImageOps.exif_transpose(opened)
        if not picture.has_transparency_data:
            return picture.convert("RGB")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def shorter_side_px(file: Path | IO[bytes], name: str) -> int:
    """Of a picture, from its header alone. Raises InvalidTraining where there is none."""
    try:
        with Image.open(file) as picture:
            size, mode = picture.size, picture.mode
    except Exception as error:  # Pillow raises whatever it likes
        raise _unreadable(name, error) from error
    if mode.startswith(("I", "F")):  # Pillow would clip them to the darkest 8 bits of 16 or 32
        raise InvalidTraining(f"{name} has more than 8 bits a channel: save it with 8")
    return min(size)


def picture_suffixes() -> set[str]:
    """Of files that can be read as pictures: .png and the like, in small letters."""
    Image.init()
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def _unreadable(name: str, error: Exception) -> InvalidTraining:
    return InvalidTraining(f"{name} cannot be read as a picture ({error}): mend it or take it out")
