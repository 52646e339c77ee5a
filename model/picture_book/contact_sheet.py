"""Lays pictures out in rows, the wrong ones framed in red. Does not know what makes one wrong."""

from collections.abc import Sequence

from PIL import Image

from model.picture_book.drawings import Pixels

_FRAME_PX = 4
_LARGEST_PX = 128
_WRONG, _RIGHT = "#d00000", "#ffffff"


def contact_sheet(
    pictures: Sequence[Pixels], right: Sequence[bool], columns: int = 8
) -> Image.Image:
    """One image of all pictures in reading order; every picture is square and of the same size.

    Those of more than 128 px are made as small.
    """
    if not pictures:
        raise ValueError("pictures: a contact sheet needs at least one")
    shown_px = min(pictures[0].shape[0], _LARGEST_PX)
    tile_px = shown_px + 2 * _FRAME_PX
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (tile_px * min(columns, len(pictures)), tile_px * rows), _RIGHT)
    for index, (pixels, is_right) in enumerate(zip(pictures, right, strict=True)):
        row, column = divmod(index, columns)
        tile = Image.new("RGB", (tile_px, tile_px), _RIGHT if is_right else _WRONG)
        shown = Image.fromarray(pixels).resize((shown_px, shown_px), Image.Resampling.BOX)
        tile.paste(shown, (_FRAME_PX, _FRAME_PX))
        sheet.paste(tile, (column * tile_px, row * tile_px))
    return sheet
