"""Finds the pictures and captions of WebDataset shards: .tar files whose members share a name.

`0001.jpg` and `0001.txt` or `0001.json` are a sample; its name goes to the first dot, as WebDataset
has it. Members are read where they lie in the file, so that any of them can be read at any time.
"""

import tarfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from model.errors import InvalidTraining
from model.loading.config_file import told
from model.training.data.captions import CaptionField, caption_lines
from model.training.data.picture_file import PictureFile, shorter_side_px

_PICTURES = ("jpg", "jpeg", "png", "webp")

_Sample = dict[str, tarfile.TarInfo]
"""Members by what comes after the first dot, in small letters."""


def find_in_shards(path: Path) -> list[PictureFile]:
    """Every sample with a picture, in a .tar file or in those of a folder, by name.

    Raises InvalidTraining that names the shard and the remedy.
    """
    shards = [path] if path.is_file() else sorted(path.rglob("*.tar"))
    if not shards:
        raise InvalidTraining(f"{path} has no .tar files: give the path of one, or of their folder")
    root = path.parent if path.is_file() else path
    return [
        picture
        for shard in shards
        for picture in _pictures(shard, shard.relative_to(root).as_posix())
    ]


def _pictures(shard: Path, name: str) -> list[PictureFile]:
    try:
        with tarfile.open(shard, "r:") as archive:
            samples = _samples(archive)
            found = [
                _picture(archive, sample, shard, f"{name}/{key}")
                for key, sample in sorted(samples.items())
                if not sample.keys().isdisjoint(_PICTURES)
            ]
    except (tarfile.TarError, OSError) as error:
        raise InvalidTraining(
            f"{shard} cannot be read as a .tar file ({error}): make it again, without compression"
        ) from error
    if not found:
        raise InvalidTraining(
            f"{shard} has no samples: put in pictures ({', '.join(_PICTURES)}) and captions (txt,"
            " json) that share a name up to its first dot, or take it out"
        )
    return found


def _samples(archive: tarfile.TarFile) -> dict[str, _Sample]:
    samples: dict[str, _Sample] = defaultdict(dict)
    for member in archive:
        path = PurePosixPath(member.name)
        stem, _, suffix = path.name.partition(".")
        if member.isreg() and stem and suffix:
            samples[str(path.with_name(stem))][suffix.lower()] = member
    return samples


def _picture(archive: tarfile.TarFile, sample: _Sample, shard: Path, name: str) -> PictureFile:
    pictures = [suffix for suffix in _PICTURES if suffix in sample]
    if len(pictures) > 1:
        raise InvalidTraining(f"{name} is {' and '.join(pictures)}: leave one in the sample")
    member = sample[pictures[0]]
    content = archive.extractfile(member)
    assert content is not None, "a regular file"
    return PictureFile(
        name=name,
        captions=tuple(_captions(archive, sample, name)),
        shorter_side_px=shorter_side_px(content, name),
        file=shard,
        begin=member.offset_data,
        size_bytes=member.size,
    )


def _captions(archive: tarfile.TarFile, sample: _Sample, name: str) -> list[str]:
    if "txt" in sample:
        return caption_lines(_content(archive, sample["txt"]), f"{name}.txt")
    if "json" not in sample:
        raise InvalidTraining(f"{name} has no caption: add {name}.txt or {name}.json to the shard")
    try:
        return [CaptionField.model_validate_json(_content(archive, sample["json"])).text]
    except ValidationError as error:
        raise InvalidTraining(
            f'{name}.json says too little ({told(error)}): write {{"caption": "a cat"}}'
        ) from None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    assert content is not None, "a regular file"
    return content.read()
