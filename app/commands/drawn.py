"""The pictures that `imagen generate` has got: written to files as they come, told in the end."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from app.commands.files import PictureFiles
from app.commands.job_text import printable
from app.commands.outcome import CommandFailed, say


@dataclass(frozen=True)
class DrawnPicture:
    """after_s: since the command began. blocked_by: what a safety checker made it black for."""

    file: str
    index: int
    seed: int
    width: int
    height: int
    blocked_by: str | None
    after_s: float


class DrawnPictures:
    """Nothing is printed before tell(): until then the terminal may show bars."""

    def __init__(self, files: PictureFiles, prompt: str, n: int, started_s: float) -> None:
        """started_s: when the command began, by time.monotonic()."""
        self._files = files
        self._prompt = prompt
        self._n = n
        self._started_s = started_s
        self._pictures: dict[int, DrawnPicture] = {}

    def has(self, index: int) -> bool:
        """Whether the picture is here already."""
        return index in self._pictures

    def save(
        self, png: bytes, index: int, seed: int, width: int, height: int, blocked_by: str | None
    ) -> None:
        """Raises: OSError where the file cannot be written."""
        path = self._files.path(self._prompt, self._n, index, seed)
        path.write_bytes(png)
        after_s = round(time.monotonic() - self._started_s, 3)
        self._pictures[index] = DrawnPicture(
            str(path), index, seed, width, height, blocked_by, after_s
        )

    def tell(self, as_json: bool, warnings: Sequence[str], **more: object) -> None:
        """On stdout: a line for each picture, or one JSON object with `more` in it.

        warnings: of the job; on stderr, and in the object.
        """
        for warning in warnings:
            say(f"imagen: {printable(warning)}")
        pictures = [self._pictures[index] for index in sorted(self._pictures)]
        if as_json:
            more = {**more, "warnings": list(warnings)}
            print(json.dumps({**more, "images": [asdict(picture) for picture in pictures]}))
            return
        for each in pictures:
            size = f"{each.width} x {each.height} px"
            print(f"{each.file}: {size}, seed {each.seed}, {each.after_s:.1f} s")

    def check_none_is_blocked(self) -> None:
        """Raises: CommandFailed."""
        blocked = [each for each in self._pictures.values() if each.blocked_by is not None]
        told = [f"{Path(each.file).name} for {each.blocked_by}" for each in blocked]
        if told:
            raise CommandFailed(f"black, since a safety checker took {', '.join(told)}")
