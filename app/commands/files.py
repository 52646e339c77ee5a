"""Which file each picture of a job goes to."""

import re
from pathlib import Path

from app.commands.outcome import WrongUsage

MOST_CHARACTERS = 60


class PictureFiles:
    """One file where there is one picture; else cat-0.png, cat-1.png of cat.png.

    Where no file is named, each is named after its prompt and seed: a-red-cat-7.png.
    """

    def __init__(self, output: Path | None) -> None:
        """Raises: WrongUsage where nothing can be written so, before time is spent on pictures."""
        self._output = output
        if output is not None:
            if output.suffix.lower() != ".png":
                raise WrongUsage(f"--output {output} must end in .png")
            if not output.absolute().parent.is_dir():
                raise WrongUsage(f"--output {output}: make the folder {output.parent} first")

    def path(self, prompt: str, n: int, index: int, seed: int) -> Path:
        """index: of the picture, among the n of its job."""
        if self._output is None:
            return Path(f"{_slug(prompt)}-{seed}.png")
        if n == 1:
            return self._output
        return self._output.with_stem(f"{self._output.stem}-{index}")


def _slug(prompt: str) -> str:
    """The words of it, as a name that every shell and file system takes."""
    words = "-".join(re.findall(r"\w+", prompt.lower()))
    return words[:MOST_CHARACTERS].rstrip("-_").lstrip("_") or "imagen"
