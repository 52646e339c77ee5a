"""Small data sets, written to disk with Pillow and tarfile."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def write_picture(file: Path, color: str = "red", size: tuple[int, int] = (16, 16)) -> Path:
    """One colour all over; the suffix says the format. Returns the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(file)
    return file


def write_captioned(file: Path, caption: str, color: str = "red") -> None:
    """A picture, and a .txt beside it."""
    write_picture(file, color)
    file.with_suffix(".txt").write_text(caption, "utf-8")


def write_shades(folder: Path, count: int, size: tuple[int, int] = (24, 16)) -> Path:
    """Grey pictures, each of a shade of its own that its caption tells. Returns the folder."""
    for number in range(count):
        shade = number * 5
        file = write_picture(folder / f"{number:03}.png", f"rgb({shade},{shade},{shade})", size)
        file.with_suffix(".txt").write_text(f"shade {shade}")
    return folder


def png(color: str = "red", size: tuple[int, int] = (16, 16)) -> bytes:
    """The content of a file."""
    content = BytesIO()
    Image.new("RGB", size, color).save(content, "PNG")
    return content.getvalue()


def noise_png(seed: int, size: tuple[int, int] = (14, 10)) -> bytes:
    """The content of a file whose crops and mirrors all differ."""
    content = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write_shard(file: Path, members: dict[str, bytes]) -> Path:
    """A .tar file of members by name. Returns the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return file
