"""Holds a cascade against captioned pictures: what it draws for their captions, and its losses."""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from model.cascade import Cascade, Progress, to_pixels
from model.errors import InvalidTraining
from model.evaluation.denoising import LevelLoss, denoising_loss
from model.evaluation.drawing import BATCH, draw
from model.evaluation.report import MOST_SHOWN, Section, Shown, table
from model.finishing import Finished
from model.training.config import Data
from model.training.data.captioned import PicturesInOrder
from model.training.data.picture_file import PictureFile
from model.training.data.sources import open_data

if TYPE_CHECKING:  # torchmetrics is asked for only where there is something to tell with it
    from model.evaluation.likeness import ClipScore, FrechetDistance


def choose_pictures(
    path: Path, held_out: float, size_px: int, count: int
) -> tuple[PictureFile, ...]:
    """Captioned pictures that training has not seen, at most `count`, always the same ones.

    path: a folder of pictures, a .tar file, or a folder of those. held_out: the share that the
    training file keeps out; 0 where nothing of it was trained on. size_px: they are as large at
    least. Raises InvalidTraining.
    """
    is_shards = path.suffix == ".tar" or any(path.rglob("*.tar"))
    data = Data(source="shards" if is_shards else "folder", path=path, held_out=held_out)
    training, kept_out = open_data(data, size_px, seed=0)
    files = kept_out.files if held_out else PicturesInOrder(training.files, size_px).files
    if not files:
        raise InvalidTraining(f"{path}: one picture is too few to hold any out: say 0, or add some")
    return tuple(random.Random(0).sample(files, len(files))[:count])


def denoising(cascade: Cascade, files: Sequence[PictureFile], progress: Progress) -> Section:
    """The loss of each stage on the pictures, by noise level."""
    tables = []
    before_px: int | None = None
    for stage in cascade.stages:
        spec = stage.spec
        losses = denoising_loss(
            stage,
            PicturesInOrder(files, spec.size_px),
            len(files),
            cascade.text.encode,
            before_px,
            progress=partial(progress, f"loss, stage {spec.name}"),
        )
        tables.append(
            f"Stage {spec.name}, mean squared error of its {spec.prediction} on {len(files)}"
            f" pictures:\n\n{_table(losses, spec.schedule.train_steps)}"
        )
        before_px = spec.size_px
    return Section("Held-out denoising loss", "\n\n".join(tables))


def _table(losses: Sequence[LevelLoss], train_steps: int) -> str:
    rows = [
        (
            f"{each.timestep / train_steps:.2f}",
            f"{2 * each.level.log_snr_half:.2f}",
            f"{each.loss:.4f}",
            f"{1.96 * each.standard_error:.4f}",
        )
        for each in losses
    ]
    mean = sum(each.loss for each in losses) / len(losses)
    rows.append(("**mean**", "", f"{mean:.4f}", ""))
    return table(("time, 0 clean to 1 noise", "log SNR", "loss", "95 % ±"), rows)


def likeness(
    cascade: Cascade,
    files: Sequence[PictureFile],
    fid: "FrechetDistance | None",
    clip: "ClipScore | None",
    progress: Progress,
) -> Section:
    """Draw the caption of each picture, its place the seed, and compare with the picture.

    Where neither measure is wanted, as many are drawn as one looks at. Raises NotFinite.
    """
    if fid is None and clip is None:
        files = files[:MOST_SHOWN]
    shown: list[Shown] = []
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        captions, seeds = [file.captions[0] for file in part], range(start, start + len(part))
        drawn = list(draw(cascade, captions, seeds))
        real = [to_pixels(file.square(cascade.sizes_px[-1])) for file in part]
        for pictures, are_real in (([each.pixels for each in drawn], False), (real, True)):
            if fid is not None:
                fid.add(pictures, real=are_real)
            if clip is not None:
                clip.add(pictures, captions, real=are_real)
        if len(shown) < MOST_SHOWN:
            shown += map(_shown, drawn, captions, seeds)
        progress("pictures", start + len(part), len(files))
    text = _told(len(files), fid, clip)
    return Section("Pictures of held-out captions", text, tuple(shown[:MOST_SHOWN]))


def _shown(drawn: Finished, caption: str, seed: int) -> Shown:
    remark = f"blocked: {drawn.blocked_by}" if drawn.blocked_by else ""
    return Shown(drawn.pixels, caption, seed, remark)


def _told(count: int, fid: "FrechetDistance | None", clip: "ClipScore | None") -> str:
    rows = []
    if fid is not None:
        rows.append(("FID", f"{fid.value():.2f}"))
    if clip is not None:
        rows.append(("CLIP score", f"{clip.value(real=False):.2f}"))
        rows.append(("CLIP score of the held-out pictures", f"{clip.value(real=True):.2f}"))
    told = f"{count} captions, each with its place among them as the seed."
    if fid is not None:
        told += " FID falls with their number: compare it at one number alone."
    return f"{told}\n\n{table(('measure', 'value'), rows)}" if rows else told
