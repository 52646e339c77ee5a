"""Pixels to PNG, with what drew them in the file's own metadata."""

import io
from collections.abc import Mapping

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor


def encode(pixels: Tensor, metadata: Mapping[str, str]) -> bytes:
    """A PNG file of uint8 [H, W, 3]; each metadata entry becomes an iTXt chunk.

    The same pixels and metadata give the same bytes.
    """
    chunks = PngInfo()
    for keyword, text in metadata.items():
        chunks.add_itxt(keyword, text)
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, format="PNG", pnginfo=chunks)
    return file.getvalue()
