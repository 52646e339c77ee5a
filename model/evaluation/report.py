"""What was measured, as Markdown: facts, tables, and pictures in rows with their prompts below.

Knows no measure. Writes nothing: pictures are told by the names that they are to have.
"""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import torch
from torch import Tensor

from model.cascade import Cascade
from model.placement import TEXT, Placement
from model.stage import Stage

MOST_SHOWN = 24
"""Pictures of a section: as many as one looks at."""

_COLUMNS = 6


@dataclass(frozen=True)
class Shown:
    """pixels: uint8 [H, W, 3]. remark: what there is to say of the picture, if anything."""

    pixels: Tensor
    prompt: str
    seed: int
    remark: str = ""


@dataclass(frozen=True)
class Section:
    """text: Markdown."""

    title: str
    text: str
    pictures: tuple[Shown, ...] = ()


@dataclass(frozen=True)
class Report:
    """pictures: by file name, relative to the report's."""

    markdown: str
    pictures: Mapping[str, Shown]


def make_report(
    facts: Mapping[str, str], sections: Sequence[Section], command: str, folder: str
) -> Report:
    """folder: the name of one beside the report, which all pictures lie in."""
    parts = [
        "# What this cascade draws",
        table(("", ""), list(facts.items())),
        f"Again, with the same figures on the same hardware:\n\n```sh\n{command}\n```",
    ]
    pictures: dict[str, Shown] = {}
    for number, section in enumerate(sections):
        named = {
            f"{folder}/{number}-{index}.png": shown for index, shown in enumerate(section.pictures)
        }
        pictures |= named
        parts += [f"## {section.title}", section.text, *_grids(list(named.items()))]
    return Report("\n\n".join(parts) + "\n", pictures)


def _grids(named: Sequence[tuple[str, Shown]]) -> Iterator[str]:
    """One table, whose rows are pictures and, below each, its words."""
    if not named:
        return
    columns = min(_COLUMNS, len(named))
    rows: list[Sequence[str]] = []
    for start in range(0, len(named), columns):
        part = named[start : start + columns]
        missing = [""] * (columns - len(part))
        rows.append([*(f"![]({quote(name)})" for name, _ in part), *missing])
        rows.append([*(_words(shown) for _, shown in part), *missing])
    yield table([""] * columns, rows)


def _words(shown: Shown) -> str:
    remark = f"<br>**{shown.remark}**" if shown.remark else ""
    return f"{_plain(shown.prompt)}, seed {shown.seed}{remark}"


def _plain(text: str) -> str:
    """As the text reads, whatever of it Markdown would take for its own."""
    return "".join(
        f"\\{mark}" if mark in "\\`*_[]<>|#" else mark for mark in " ".join(text.split())
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts_of(cascade: Cascade) -> dict[str, str]:
    """What was measured, when, and on what."""
    return {
        "cascade": _plain(cascade.name),
        "text encoder": f"{cascade.spec.text.width} wide, {cascade.spec.text.max_tokens} tokens,"
        f" in {cascade.placements.of(TEXT).precision}",
        **{
            f"stage {stage.spec.name}": _told(stage, cascade.placements.of(stage.spec.name))
            for stage in cascade.stages
        },
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": hardware(),
        "torch": torch.__version__,
    }


def _told(stage: Stage, placement: Placement) -> str:
    """How large its network is, and how it is sampled."""
    parameters = sum(weight.numel() for weight in stage.network.unet.parameters())
    said = stage.spec.defaults
    earliest, latest = said.guidance_interval
    aug_level = "" if said.aug_level is None else f", aug_level {said.aug_level:g}"
    return (
        f"{parameters / 1e6:.1f} million parameters in {placement.precision}; {said.steps} steps of"
        f" {said.sampler}, guidance {said.guidance_scale:g} at times from {earliest:g} to"
        f" {latest:g}{aug_level}"
    )


def hardware() -> str:
    """The processor, its cores that may be used, and the GPU where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{_processor()}, {cores} cores{gpu}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
