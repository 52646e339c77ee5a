"""A PNG holds its pixels and what drew them."""

import io

import torch
from PIL import Image

from workers import png


def test_pixels_and_metadata_come_back() -> None:
    pixels = torch.arange(5 * 4 * 3, dtype=torch.uint8).reshape(5, 4, 3)
    file = png.encode(pixels, {"prompt": "ein Käfer 🐞"})
    with Image.open(io.BytesIO(file)) as image:
        assert image.size == (4, 5)
        assert image.tobytes() == pixels.numpy().tobytes()
        assert image.info["prompt"] == "ein Käfer 🐞"


def test_the_same_picture_is_the_same_file() -> None:
    pixels = torch.zeros(4, 4, 3, dtype=torch.uint8)
    assert png.encode(pixels, {"a": "b"}) == png.encode(pixels.clone(), {"a": "b"})
