"""The long form: `make chaos`, or `python -m tests.chaos --jobs 1000 --faults 60 --seed 7`."""

import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from tests.chaos.service import open_service
from tests.chaos.storm import Report, storm

MOST_TOLD = 20

console = Console()


def main(
    jobs: Annotated[int, typer.Option(help="Asked for by clients.")] = 1000,
    faults: Annotated[int, typer.Option(help="At the least.")] = 60,
    seed: Annotated[int | None, typer.Option(help="Of jobs and faults (else random).")] = None,
) -> None:
    """Break everything under load, and see that nothing is lost and nothing is done twice."""
    for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
        del os.environ[name]
    disable_progress_bar()  # of the cascade that is written
    seed = random.randrange(2**32) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    console.print(f"seed {seed}; logs and data in {folder}, which stays if a promise is broken")
    report = asyncio.run(_run(folder, jobs, faults, seed))
    console.print(_table(report))
    for wrong in report.verdict.all[:MOST_TOLD]:
        console.print(wrong, style="red", highlight=False, soft_wrap=True)
    if report.verdict.all:
        sys.exit(1)
    shutil.rmtree(folder)


async def _run(folder: Path, jobs: int, faults: int, seed: int) -> Report:
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        asked = progress.add_task("jobs", total=jobs)
        caused = progress.add_task("faults", total=faults)

        def told(report: Report) -> None:
            progress.update(asked, completed=report.jobs)
            progress.update(caused, completed=report.faults.total())

        async with open_service(folder) as service:
            return await storm(service, jobs, faults, seed, told)


def _table(report: Report) -> Table:
    verdict = report.verdict
    table = Table("", "", box=None, show_header=False)
    table.columns[1].justify = "right"
    for fault, count in sorted(report.faults.items()):
        table.add_row(fault, f"{count}")
    table.add_section()
    for name, number in (
        ("faults", report.faults.total()),
        ("jobs", report.jobs),
        ("pictures", verdict.pictures),
        ("late results refused", verdict.refused),
        ("lost", len(verdict.lost)),
        ("doubled", len(verdict.doubled)),
        ("other promises broken", len(verdict.broken)),
    ):
        table.add_row(name, f"{number}")
    return table


if __name__ == "__main__":
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(main)
    command()
