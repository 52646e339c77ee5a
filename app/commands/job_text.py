"""Jobs as people read them: in a few words, as lines, as a table."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.table import Table
from rich.text import Text

from app.answers import JobAnswer
from app.commands.tables import print_table
from workers.jobs.job import JobStatus

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))

NARROWER_THAN_ANY_PROMPT = 2_000
"""Columns of a file or pipe, which has no width of its own."""


def standing(job: JobAnswer) -> str:
    """How the job stands."""
    words = str(job.status)
    if job.status is JobStatus.QUEUED and job.queue_position:
        words += f", {job.queue_position} before it"
    if job.status is JobStatus.RUNNING:
        words += f", {job.progress:.0%}"
    return f"{words}, deleted" if job.deleted else words


def lines(job: JobAnswer) -> Iterator[str]:
    """All that there is to tell, with its name in front."""
    for name, values in _details(job):
        for value in values:
            yield f"{name:<12}{value}"
            name = ""


def print_jobs(jobs: Sequence[JobAnswer]) -> None:
    """On stdout, each job a line; the prompt has what is left of the terminal's width."""
    table = Table(box=None, pad_edge=False, show_edge=False, expand=True)
    for column in ("ID", "STATUS", "AGE", "DONE", "PROMPT"):
        table.add_column(
            column,
            no_wrap=True,
            ratio=1 if column == "PROMPT" else None,
            justify="right" if column in ("AGE", "DONE") else "left",
        )
    now = datetime.now(UTC)
    for job in jobs:
        table.add_row(
            job.id,
            job.status,
            age(now - job.created_at),
            f"{job.progress:.0%}",
            Text(printable(job.parameters.prompt)),
        )
    print_table(table, NARROWER_THAN_ANY_PROMPT)


def age(since: timedelta) -> str:
    """In the largest unit that there is one of, as in 5 min."""
    seconds = max(0, int(since.total_seconds()))
    for unit, unit_s in UNITS:
        if seconds >= unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"


def printable(text: str) -> str:
    """On one line, without what would command a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _details(job: JobAnswer) -> Iterator[tuple[str, list[str]]]:
    asked = job.parameters
    yield "id", [job.id]
    yield "status", [standing(job)]
    if job.error is not None:
        yield "error", [f"{job.error.message} ({job.error.code})"]
    yield "warnings", [printable(warning) for warning in job.warnings]
    yield "priority", [job.priority]
    for name, moment in (
        ("created", job.created_at),
        ("started", job.started_at),
        ("finished", job.finished_at),
        ("deadline", job.deadline_at),
    ):
        if moment is not None:
            yield name, [f"{moment:%Y-%m-%d %H:%M:%S} UTC"]
    yield "prompt", [printable(asked.prompt)]
    if asked.negative_prompt:
        yield "negative", [printable(asked.negative_prompt)]
    yield "pictures", [f"{asked.n}, {asked.width} x {asked.height} px, from seed {asked.seed} on"]
    yield "stages", list(_stages(job))
    yield "adapters", [f"{adapter.name} at {adapter.scale:g}" for adapter in asked.adapters]
    yield "done", [f"{image.url}{_blocked(image.blocked_by)}" for image in job.images]


def _stages(job: JobAnswer) -> Iterator[str]:
    asked = job.parameters
    took_s = {timing.stage: timing.took_s for timing in job.timings}
    for i, stage in enumerate(job.stages):
        start, end = asked.guidance_interval[i]
        words = f"{stage}: {asked.steps[i]} steps of {asked.sampler[i]}"
        words += f", guidance {asked.guidance_scale[i]:g} at {start:g}:{end:g}"
        taken = took_s.get(stage)
        yield words if taken is None else f"{words}, {taken:.1f} s"


def _blocked(blocked_by: str | None) -> str:
    return "" if blocked_by is None else f" (black: {blocked_by})"
