"""Measuring a cascade in this process, for `imagen evaluate`."""

import shlex
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from app.commands.bars import waiting_for
from app.commands.evaluate import Asked
from app.commands.options import read_settings
from app.commands.outcome import CommandFailed, WrongUsage, say
from model.cascade import Cascade
from model.cascade import Progress as Told
from model.errors import InvalidCascade, InvalidTraining, NotFinite
from model.evaluation.captioned import choose_pictures, denoising, likeness
from model.evaluation.report import Section, facts_of, make_report
from model.loading.cascade_folder import read_cascade
from model.training.data.picture_file import PictureFile
from workers import png
from workers.main import load
from workers.settings import WorkerSettings

if TYPE_CHECKING:  # torchmetrics and resvg are asked for only where they are needed
    from model.evaluation.likeness import ClipScore, FrechetDistance
    from model.picture_book.evaluate import Judged

SCENES = "picture-book"
"""What the name of a cascade begins with that draws scenes of picture-book."""


def evaluate_here(source: str | None, device: str | None, asked: Asked) -> None:
    """Print what is measured, and write the report. Raises: WrongUsage, CommandFailed."""
    settings = read_settings(WorkerSettings, cascade=source, device=device)
    with waiting_for("reading what there is"):
        with _blaming("--cascade"):
            spec = read_cascade(settings.cascade)
        _check(spec.name, asked)
        files = _find_pictures(asked, spec.stages[-1].spec.size_px)
    with waiting_for("loading the cascade"), _blaming("--cascade or --device"):
        cascade = load(settings.model_copy(update={"stages": None}))
    try:
        sections = [
            *(_by_oracle(cascade, asked) if _is_of_scenes(cascade.name) else ()),
            *(_by_pictures(cascade, files, asked) if files else ()),
        ]
    except NotFinite as error:
        raise CommandFailed(str(error)) from error
    if asked.report is not None:
        _write(asked.report, cascade, sections, _command(settings, asked))


def _is_of_scenes(name: str) -> bool:
    """Whether the oracle can judge what a cascade draws, as its name says."""
    return name.startswith(SCENES)


def _check(name: str, asked: Asked) -> None:
    """That there is something to measure, and that whatever was asked can be."""
    if _is_of_scenes(name):
        return
    if asked.data is None:
        raise WrongUsage(
            f"{name} is not {SCENES}, whose scenes an oracle knows: give captioned pictures to hold"
            " it against with --data"
        )
    for option, value in (("--per-category", asked.per_category), ("--sheet", asked.sheet)):
        if value is not None:
            raise WrongUsage(f"{option} is about {SCENES}, and this cascade is {name}")


def _find_pictures(asked: Asked, size_px: int) -> tuple[PictureFile, ...]:
    if asked.data is None:
        return ()
    with _blaming("--data"):
        files = choose_pictures(asked.data, asked.held_out, size_px, asked.pictures)
    if asked.inception is not None and len(files) < 2:
        raise WrongUsage("--inception: FID takes two pictures or more, and there is one")
    return files


def _by_oracle(cascade: Cascade, asked: Asked) -> list[Section]:
    from model.evaluation.picture_book import (
        asked_in_every_language,
        judge_pictures,
        sections_of,
        wrong_aspects,
    )

    with _bars() as told:
        judged = judge_pictures(cascade, asked_in_every_language(asked.per_category), told)
    sections = sections_of(judged)
    _tell(sections[0])
    for each in judged:
        if not each.verdict.right:
            print(f"wrong {wrong_aspects(each)}: {each.prompt.text!r}, seed {each.prompt.seed}")
    if asked.sheet is not None:
        _save_sheet(asked.sheet, judged)
    return sections


def _save_sheet(file: Path, judged: Sequence["Judged"]) -> None:
    from model.picture_book.contact_sheet import contact_sheet

    rights = [each.verdict.right for each in judged]
    contact_sheet([each.pixels for each in judged], rights).save(file)


def _by_pictures(cascade: Cascade, files: Sequence[PictureFile], asked: Asked) -> list[Section]:
    fid, clip = _measures(cascade, asked)
    sections = []
    with _bars() as told, _blaming("--data"):
        sections.append(denoising(cascade, files, told))
    _tell(sections[-1])
    if fid is not None or clip is not None or asked.report is not None:
        with _bars() as told, _blaming("--data"):
            sections.append(likeness(cascade, files, fid, clip, told))
        _tell(sections[-1])
    return sections


def _measures(cascade: Cascade, asked: Asked) -> "tuple[FrechetDistance | None, ClipScore | None]":
    """Those that there are weights for, on the device of the last stage."""
    if asked.inception is None and asked.clip is None:
        return None, None
    from model.evaluation.likeness import ClipScore, FrechetDistance, read_inception

    device = cascade.stages[-1].network.device
    fid = clip = None
    if asked.inception is not None:
        with waiting_for("loading Inception"), _blaming("--inception"):
            fid = FrechetDistance(read_inception(asked.inception), device)
    if asked.clip is not None:
        with waiting_for("loading CLIP"), _blaming("--clip"):
            clip = ClipScore(asked.clip, device)
    return fid, clip


def _tell(section: Section) -> None:
    print(f"## {section.title}\n\n{section.text}\n", flush=True)


def _write(file: Path, cascade: Cascade, sections: Sequence[Section], command: str) -> None:
    """The report, and its pictures in a folder of its name."""
    report = make_report(facts_of(cascade), sections, command, file.stem)
    for name, shown in report.pictures.items():
        picture = file.parent / name
        picture.parent.mkdir(exist_ok=True)
        metadata = {"prompt": shown.prompt, "seed": str(shown.seed)}
        picture.write_bytes(png.encode(shown.pixels.cpu(), metadata))
    file.write_text(report.markdown, "utf-8")
    say(f"{file} tells it all")


def _command(settings: WorkerSettings, asked: Asked) -> str:
    """What was asked for, environment and defaults included."""
    options: dict[str, object] = {"cascade": settings.cascade, "device": settings.device}
    if asked.data is not None:
        options |= {"data": asked.data, "held-out": asked.held_out, "pictures": asked.pictures}
    options |= {
        "inception": asked.inception,
        "clip": asked.clip,
        "per-category": asked.per_category,
        "report": asked.report,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    return shlex.join(
        [
            "imagen",
            "evaluate",
            *(word for name, value in given.items() for word in (f"--{name}", value)),
        ]
    )


@contextmanager
def _blaming(option: str) -> Generator[None]:
    """Whatever cannot be read in the block was named by this option. Raises: WrongUsage."""
    try:
        yield
    except (InvalidCascade, InvalidTraining) as error:
        raise WrongUsage(f"{option}: {error}") from error


@contextmanager
def _bars() -> Generator[Told]:
    """A bar on the terminal for each thing that is told of; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bars:
        of: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in of:
                of[what] = bars.add_task(what, total=total)
            bars.update(of[what], completed=done)

        yield tell
