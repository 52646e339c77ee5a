"""Finds the pictures and captions of a folder, as Hugging Face's ImageFolder has them.

`metadata.jsonl`, in the folder or one within it, lists pictures that lie beside or below it, a line
each: {"file_name": "cats/1.jpg", "text": "a cat"}. Whatever it does not list has a .txt beside it.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from model.errors import InvalidTraining
from model.loading.config_file import told
from model.training.data.captions import Caption, CaptionField, caption_lines, decoded
from model.training.data.picture_file import PictureFile, picture_suffixes, shorter_side_px

METADATA = "metadata.jsonl"


class _Line(CaptionField):
    file_name: Caption


def find_in_folder(folder: Path) -> list[PictureFile]:
    """Every picture in the folder and the folders within, by name.

    A picture that is listed twice has two captions; so has one whose .txt has two lines. Raises
    InvalidTraining that names the file and the remedy.
    """
    if not folder.is_dir():
        raise InvalidTraining(f"{folder} is no folder: give the path of a folder of pictures")
    files = {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    files = {file for file in files if not _is_hidden(file)}
    captions = _listed(folder, sorted(file for file in files if file.name == METADATA))
    suffixes = picture_suffixes()
    for file in sorted(files):
        if file.suffix.lower() in suffixes and file not in captions:
            captions[file] = _beside(folder / file)
    _check_all_have_one(captions, folder)
    return [
        PictureFile(
            name=file.as_posix(),
            captions=tuple(captions[file]),
            shorter_side_px=shorter_side_px(folder / file, str(folder / file)),
            file=folder / file,
        )
        for file in sorted(captions)
    ]


def _is_hidden(file: Path) -> bool:
    """Such as .cache, or the ._1.jpg that macOS leaves beside 1.jpg: no pictures of the user's."""
    return any(part.startswith(".") for part in file.parts)


def _listed(folder: Path, files: Sequence[Path]) -> dict[Path, list[str]]:
    """Captions of the pictures that metadata files list; all are relative to the folder."""
    captions: dict[Path, list[str]] = {}
    for metadata in files:
        content = decoded((folder / metadata).read_bytes(), str(folder / metadata))
        for number, line in enumerate(content.split("\n"), start=1):
            if line.strip():
                where = f"{folder / metadata} line {number}"
                entry = _read(line, where)
                picture = Path(os.path.normpath(metadata.parent / entry.file_name))
                if not (folder / picture).is_file():
                    raise InvalidTraining(
                        f"{where}: {folder / picture} is missing: correct file_name, or take the"
                        " line out"
                    )
                captions.setdefault(picture, []).append(entry.text)
    return captions


def _read(line: str, where: str) -> _Line:
    try:
        return _Line.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        reason = f"is not JSON ({error.msg})"
    except ValidationError as error:
        reason = f"says too little ({told(error)})"
    raise InvalidTraining(f'{where} {reason}: write {{"file_name": "1.jpg", "text": "a cat"}}')


def _beside(picture: Path) -> list[str]:
    """Of the .txt of the same name; none where there is no such file."""
    text = picture.with_suffix(".txt")
    return caption_lines(text.read_bytes(), str(text)) if text.is_file() else []


def _check_all_have_one(captions: dict[Path, list[str]], folder: Path) -> None:
    if not captions:
        raise InvalidTraining(
            f'{folder} has no pictures: give another path, or source = "shards" for .tar files'
        )
    without = sorted(picture for picture, said in captions.items() if not said)
    if without:
        raise InvalidTraining(
            f"{len(without)} of {len(captions)} pictures in {folder} have no caption, the first"
            f" is {without[0]}: add a line to {METADATA}, or a .txt of the same name beside it"
        )
