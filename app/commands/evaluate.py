"""`imagen evaluate`: how well a cascade draws, in tables on stdout and as a report to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from app.commands.bars import waiting_for
from app.commands.options import CascadeSource, Device
from app.commands.outcome import WrongUsage
from app.commands.torch_imports import torch_imports

HELD_OUT = 0.02
"""As in training files that do not say."""

PICTURES = 64


@dataclass(frozen=True)
class Asked:
    """What is to be measured, and where it is to be told."""

    data: Path | None
    held_out: float
    pictures: int
    inception: Path | None
    clip: Path | None
    per_category: int | None
    sheet: Path | None
    report: Path | None


Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Captioned pictures to hold it against, or shards, as for training."
    ),
]
HeldOut = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=0.999,
        help=f"Of --data, that the training file kept out (else {HELD_OUT}); 0 takes all of it.",
    ),
]
Pictures = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help=f"At most so many of them (else {PICTURES})."),
]
Inception = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="Weights of FID's Inception, as torch-fidelity has them: tell FID.",
    ),
]
Clip = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="A CLIPModel of transformers: tell CLIP score."),
]
PerCategory = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Of picture-book: N prompts of each category, not the fixed ones."
    ),
]
Sheet = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", help="Of picture-book: all pictures, wrong ones in red."),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.md", help="Also write a report, with pictures in a folder beside it."
    ),
]


def evaluate(
    cascade: CascadeSource = None,
    data: Data = None,
    held_out: HeldOut = None,
    pictures: Pictures = None,
    inception: Inception = None,
    clip: Clip = None,
    per_category: PerCategory = None,
    sheet: Sheet = None,
    report: ReportFile = None,
    device: Device = None,
) -> None:
    """Measure how well a cascade draws.

    An oracle judges what picture-book draws, or a cascade whose name begins so.
    Captioned pictures tell the loss of any cascade, by stage and noise level;
    with the weights of Inception or CLIP, also FID or CLIP score.

    For example:
    $ imagen evaluate --per-category 20 --report report.md
    $ imagen evaluate --cascade runs/cats --data cats --clip clip-vit-base-patch32
    """
    if data is None:
        _refuse(held_out=held_out, pictures=pictures, inception=inception, clip=clip)
    _check_file("--sheet", sheet, ".png")
    _check_file("--report", report, ".md")
    with waiting_for("loading torch"), torch_imports():
        from app.commands.evaluating import evaluate_here
    evaluate_here(
        cascade,
        device,
        Asked(
            data=data,
            held_out=HELD_OUT if held_out is None else held_out,
            pictures=pictures or PICTURES,
            inception=inception,
            clip=clip,
            per_category=per_category,
            sheet=sheet,
            report=report,
        ),
    )


def _refuse(**options: object) -> None:
    """Raises: WrongUsage that names the first of them that was given."""
    for name, value in options.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise WrongUsage(
                f"{option} is about captioned pictures: say where they are with --data"
            )


def _check_file(option: str, file: Path | None, suffix: str) -> None:
    """Raises: WrongUsage where nothing can be written so, before time is spent."""
    if file is None:
        return
    if file.suffix.lower() != suffix:
        raise WrongUsage(f"{option} {file} must end in {suffix}")
    if not file.absolute().parent.is_dir():
        raise WrongUsage(f"{option} {file}: make the folder {file.parent} first")
