"""What `imagen generate` does: draws one picture in this process, as the service would draw it.

Beside cli.py the only file of the app that reaches the model, so only that command imports it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from app.errors import FieldProblem, InvalidRequest
from app.remedies import OR_A_LIST
from app.resolve import resolve
from model.cascade import Cascade
from model.finishing import Finished
from workers import png
from workers.describe import describe, settings_of
from workers.jobs.job import TEXT_STAGE, JobParameters
from workers.main import load
from workers.settings import WorkerSettings

OPTIONS = {"prompt": "PROMPT", "negative_prompt": "--negative"}
"""The fields of a request that are not called the same on the command line."""


def draw(
    request: Mapping[str, object], settings: WorkerSettings, output: Path
) -> tuple[JobParameters, str | None]:
    """Write the PNG that a request is for; say what was drawn, and what it is black for.

    request: as for POST /generate, with one value for all stages.
    Raises: ValueError that names the option, or the cascade's file, and the remedy.
    """
    # How much work one client may ask for is the service's matter, and which stages to serve.
    settings = settings.model_copy(update={"max_steps": sys.maxsize, "stages": ()})
    card = describe(load(settings), settings)
    try:
        parameters = resolve(dict(request), card)
    except InvalidRequest as error:
        raise ValueError("; ".join(_told(problem) for problem in error.problems)) from error
    needed = (TEXT_STAGE, *(stage.name for stage in parameters.stages))
    cascade = load(settings.model_copy(update={"stages": needed}))
    picture = _draw(cascade, parameters)
    metadata = {"cascade": cascade.name, "parameters": parameters.model_dump_json()}
    output.write_bytes(png.encode(picture.pixels, metadata))
    return parameters, picture.blocked_by


def _told(problem: FieldProblem) -> str:
    option = OPTIONS.get(problem.field, f"--{problem.field.replace('_', '-')}")
    remedy, _, _ = problem.remedy.partition(OR_A_LIST)  # which no option takes
    return f"{option} {problem.problem}: {remedy}"


def _draw(cascade: Cascade, parameters: JobParameters) -> Finished:
    """By the reference loop, with a bar for each stage on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = {
            s.name: bars.add_task(f"{s.width} x {s.height}", total=s.steps)
            for s in parameters.stages
        }
        return cascade.generate(
            parameters.prompt,
            negative_prompt=parameters.negative_prompt,
            seed=parameters.seed,
            size=parameters.size,
            settings={stage.name: settings_of(stage) for stage in parameters.stages},
            progress=lambda stage, done, of: bars.update(bar[stage], completed=done, total=of),
        )
