"""From a file to a square of pixels: orientation, transparency, crops, mirrors, parts of files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from model.errors import InvalidTraining
from model.training.data.picture_file import PictureFile, shorter_side_px
from tests.model.training.data.written import png, write_picture

_ORIENTATION = 0x0112
_TURNED_LEFT = 8
"""How EXIF says that the right of what is stored is up."""


def of(file: Path) -> PictureFile:
    return PictureFile("picture", ("a picture",), 1, file)


def halves(left: str, right: str, size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, right)
    picture.paste(left, (0, 0, size[0] // 2, size[1]))
    return picture


def color(pixels: Tensor) -> list[float]:
    """Of pixels that are all of one colour: that, to one digit."""
    flat = pixels.flatten(1)
    assert (flat.amax(1) - flat.amin(1)).max() < 0.05
    return [round(value, 1) + 0.0 for value in flat.mean(1).tolist()]


RED, GREEN, BLUE = [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(stored).save(tmp_path / "1.png")
    pixels = of(tmp_path / "1.png").square(9)
    assert (pixels.shape, pixels.dtype) == ((3, 9, 9), torch.float32)
    expected = torch.tensor(stored.astype(np.float64) / 255 * 2 - 1).permute(2, 0, 1)
    torch.testing.assert_close(pixels.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jpg", "png", "tiff", "webp"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"1.{suffix}"
    halves("red", "blue", (32, 32)).save(file)
    assert shorter_side_px(file, "1") == 32
    pixels = of(file).square(16)
    assert color(pixels[:, 2:14, 1:6]) == RED
    assert color(pixels[:, 2:14, 10:15]) == BLUE


def test_the_square_is_in_the_middle_or_along_the_longer_side(tmp_path: Path) -> None:
    picture = Image.new("RGB", (60, 20), "green")
    picture.paste("red", (0, 0, 20, 20))
    picture.paste("blue", (40, 0, 60, 20))
    picture.paste("lime", (20, 0, 40, 20))
    picture.save(tmp_path / "wide.png")
    picture.rotate(-90, expand=True).save(tmp_path / "high.png")  # red comes to the top
    for name in ("wide", "high"):
        file = of(tmp_path / f"{name}.png")
        for along, expected in ((0.5, GREEN), (0, RED), (1, BLUE)):
            square = file.square(10, along)
            assert color(square[:, 1:-1, 1:-1]) == expected  # edges see what is beyond them


def test_a_mirrored_square(tmp_path: Path) -> None:
    halves("red", "blue", (16, 16)).save(tmp_path / "1.png")
    file = of(tmp_path / "1.png")
    assert torch.equal(file.square(16, mirrored=True), file.square(16).flip(-1))


def test_a_smaller_square_is_of_all_pixels(tmp_path: Path) -> None:
    """One of every second pixel only would be black or white where this is grey."""
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(tmp_path / "1.png")
    assert of(tmp_path / "1.png").square(8).abs().max() < 0.05


def test_a_large_jpeg_is_decoded_small_and_shows_the_same(tmp_path: Path) -> None:
    """`draft` must leave enough pixels: compare with the picture stored without loss."""
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (480, 1))] * 3, -1)).save(tmp_path / "1.png")
    Image.open(tmp_path / "1.png").save(tmp_path / "1.jpg", quality=98)
    ours, lossless = of(tmp_path / "1.jpg").square(32), of(tmp_path / "1.png").square(32)
    torch.testing.assert_close(ours, lossless, rtol=0, atol=0.03)


def test_the_camera_may_have_been_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED_LEFT
    halves("red", "blue", (64, 32)).save(tmp_path / "1.jpg", exif=exif, quality=95)
    file = of(tmp_path / "1.jpg")
    assert color(file.square(8, along=0)[:, 1:-1, 1:-1]) == BLUE
    assert color(file.square(8, along=1)[:, 1:-1, 1:-1]) == RED


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 8, 16))
    picture.convert(mode).save(tmp_path / "1.png")
    pixels = of(tmp_path / "1.png").square(16)
    assert color(pixels[..., :6]) == [-1.0] * 3
    assert color(pixels[..., 10:]) == [1.0] * 3


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "1.png")
    assert color(of(tmp_path / "1.png").square(8)) == [1.0, 0.0, 0.0]


def test_a_part_of_a_file(tmp_path: Path) -> None:
    red, blue = png("red"), png("blue")
    file = tmp_path / "both"
    file.write_bytes(red + blue)
    second = PictureFile("2", ("blue",), 16, file, begin=len(red), size_bytes=len(blue))
    assert color(second.square(8)) == BLUE


def test_a_broken_picture_is_named_when_it_is_met(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "1.png", size=(99, 99))
    file.write_bytes(file.read_bytes()[:-40])
    assert shorter_side_px(file, "1") == 99
    with pytest.raises(InvalidTraining, match=r"picture cannot be read .*: mend it or take it out"):
        of(file).square(8)


def test_a_picture_that_has_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTraining, match="picture cannot be read"):
        of(tmp_path / "gone.png").square(8)


def test_sixteen_bits_are_refused_and_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(InvalidTraining, match=r"1\.png has more than 8 bits a channel: save it"):
        shorter_side_px(tmp_path / "1.png", "1.png")
