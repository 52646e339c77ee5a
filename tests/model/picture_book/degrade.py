"""Makes a drawn picture look like a diffusion model's: soft, wobbly, off in colour, grainy."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from model.picture_book.drawings import Pixels


def degrade(pixels: Pixels, seed: int) -> Pixels:
    """Down to 32 px and up again, blurred, warped by some 2 px, tinted by up to 5 %, with grain."""
    rng = np.random.default_rng(seed)
    size = (pixels.shape[1], pixels.shape[0])
    small = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BOX)
    soft = small.resize(size, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(0.8))
    warped = _warp(np.asarray(soft), rng).astype(np.float64)
    tinted = warped * rng.uniform(0.95, 1.05, 3) + rng.uniform(-8, 8, 3)
    grainy = tinted + rng.normal(0, 10, tinted.shape)
    return np.clip(grainy, 0, 255).astype(np.uint8)


def _warp(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    down, right = (_smooth_field(width, height, rng) for _ in range(2))
    rows, columns = np.indices((height, width))
    from_row = (rows + down).round().astype(int).clip(0, height - 1)
    from_column = (columns + right).round().astype(int).clip(0, width - 1)
    warped: Pixels = pixels[from_row, from_column]
    return warped


def _smooth_field(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    coarse = Image.fromarray(rng.normal(0, 2, (6, 6)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
