"""`imagen`: the one place that may start everything.

Whatever is slow to import is imported by the command that needs it, so that `imagen api` runs
where torch is not even installed.
"""

import logging
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from app.supervisor import WRONG_USAGE, ProgramRefused
from workers.jobs.errors import ImagenError

if TYPE_CHECKING:
    from torch import Tensor

    from model.cascade import Cascade
    from workers.jobs.job import JobParameters

Settings = TypeVar("Settings", bound=BaseSettings)

log = logging.getLogger(__name__)

MAX_SEED = 2**32 - 1
FINISH_ANSWERS_S = 5
"""An API that stops lets its answers end for so long; the supervisor leaves the worker the rest."""

cli = typer.Typer(
    name="imagen",
    help="A self-hosted Imagen: text in, pictures out.",
    epilog="Settings are read from IMAGEN_* variables; an option goes before its variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Host = Annotated[
    str | None, typer.Option(help="Address to listen on (IMAGEN_HOST, else 127.0.0.1).")
]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on (IMAGEN_PORT, else 8000).", min=1, max=65_535)
]
CascadeFolder = Annotated[
    Path | None,
    typer.Option("--cascade", help="Cascade folder (IMAGEN_CASCADE, else picture-book)."),
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ... (IMAGEN_DEVICE, else auto).")
]


@cli.command()
def serve(
    host: Host = None, port: Port = None, cascade: CascadeFolder = None, device: Device = None
) -> None:
    """Serve pictures: API, worker and, unless IMAGEN_REDIS_URL names one, a queue.

    Restarts what dies. Ctrl-C stops everything.
    """
    from app.serve import serve
    from app.settings import ApiSettings

    _log_as("imagen")
    # A folder is looked for here, not where the worker may run.
    folder = None if cascade is None else cascade.absolute()
    options = {"IMAGEN_CASCADE": folder, "IMAGEN_DEVICE": device}
    environment = {name: str(value) for name, value in options.items() if value is not None}
    serve(_settings(ApiSettings, host=host, port=port), environment)


@cli.command()
def api(host: Host = None, port: Port = None) -> None:
    """Serve HTTP alone, with the queue at IMAGEN_REDIS_URL. Needs no torch."""
    import uvicorn

    from app.address import check_can_listen, local_url
    from app.main import create_app
    from app.settings import ApiSettings

    _log_as("api")
    settings = _settings(ApiSettings, host=host, port=port)
    check_can_listen(settings.host, settings.port)
    log.info("listening at %s", local_url(settings.host, settings.port))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        timeout_graceful_shutdown=FINISH_ANSWERS_S,
    )


@cli.command()
def worker(
    stages: Annotated[
        str | None, typer.Option(help="Those to serve, as in text,32 (IMAGEN_STAGES, else all).")
    ] = None,
    cascade: CascadeFolder = None,
    device: Device = None,
) -> None:
    """Draw what the queue at IMAGEN_REDIS_URL asks for."""
    from model.errors import InvalidCascade
    from workers.main import run
    from workers.settings import WorkerSettings

    _log_as("worker")
    folder = None if cascade is None else str(cascade)
    settings = _settings(WorkerSettings, stages=stages, cascade=folder, device=device)
    _prepare_torch(settings.device)
    try:
        run(settings)
    except InvalidCascade as error:
        raise typer.BadParameter(str(error), param_hint="--cascade, --stages") from error


@cli.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")],
    negative: Annotated[str, typer.Option(help="What to steer away from.")] = "",
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same picture (else random).", min=0, max=MAX_SEED)
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels a side, the size of a stage (else the largest).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps of each stage (else the cascade's).", min=1)
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="How hard to follow the prompt (else the cascade's).", min=1),
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="ddim or dpmpp (else the cascade's).")] = None,
    cascade: CascadeFolder = None,
    device: Device = None,
) -> None:
    """Draw one picture here and now: no server, no queue."""
    _check_can_write(output)
    from model.cascade import Cascade
    from workers import png
    from workers.settings import WorkerSettings

    started = time.monotonic()
    folder = None if cascade is None else str(cascade)
    settings = _settings(WorkerSettings, cascade=folder, device=device)
    _prepare_torch(settings.device)
    seed = secrets.randbelow(MAX_SEED + 1) if seed is None else seed
    asked = {"steps": steps, "guidance_scale": guidance_scale, "sampler": sampler}
    try:
        loaded = Cascade.load(settings.cascade, settings.device)
        parameters = _resolve(loaded, prompt, negative, seed, size, asked)
        pixels = _draw(loaded, parameters)
    except ValueError as error:  # the model's word for an argument that it cannot use
        raise typer.BadParameter(str(error)) from error
    metadata = {"cascade": loaded.name, "parameters": parameters.model_dump_json()}
    output.write_bytes(png.encode(pixels, metadata))
    took_s = time.monotonic() - started
    print(f"{output}: {parameters.size} px, seed {seed}, {took_s:.1f} s")


def main() -> None:
    """The console command. Exit status: 0 done, 1 failed, 2 wrong usage."""
    try:
        cli(prog_name="imagen")
    except ProgramRefused as error:
        _fail(str(error), WRONG_USAGE)
    except (ImagenError, OSError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        _fail(f"{error}: what workers need comes with `pip install 'imagen-server[worker]'`")


def _fail(message: str, status: int = 1) -> NoReturn:
    typer.echo(f"imagen: {message}", err=True)
    sys.exit(status)


def _log_as(process: str) -> None:
    """One line an event on stderr, which the processes of `imagen serve` share."""
    logging.basicConfig(
        format=f"%(asctime)s {process:<6} %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
        level=logging.INFO,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each look at /readyz


def _settings(kind: type[Settings], **options: object) -> Settings:
    """Settings from the environment; an option that was given goes first."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        lines = [f"IMAGEN_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error


def _prepare_torch(device: str) -> None:
    """Try the device before weights are loaded on it; leave progress bars to us."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from model.devices import pick_device

    disable_progress_bar()
    try:
        torch.empty(0, device=pick_device(device))
    except (AssertionError, RuntimeError) as error:  # torch says either
        reason = f"{device} cannot be used: {error}; auto picks one that can"
        raise typer.BadParameter(reason, param_hint="--device") from error


def _check_can_write(output: Path) -> None:
    """Before minutes are spent on a picture that has nowhere to go."""
    if output.suffix.lower() != ".png":
        raise typer.BadParameter(f"{output} must end in .png", param_hint="--output")
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"make the folder {output.parent} first", param_hint="--output")


def _resolve(
    cascade: "Cascade",
    prompt: str,
    negative: str,
    seed: int,
    size: int | None,
    asked: Mapping[str, object],
) -> "JobParameters":
    """What will be drawn, every value told: the cascade's defaults where nothing else is asked."""
    from workers.jobs.job import JobParameters, StageParameters

    size = cascade.sizes_px[-1] if size is None else size
    changes = {name: value for name, value in asked.items() if value is not None}
    stages = tuple(
        StageParameters.model_validate(
            {"name": spec.name, "size": spec.size_px} | asdict(spec.defaults) | changes
        )
        for spec in (stage.spec for stage in cascade.stages)
        if spec.size_px <= size
    )
    return JobParameters(
        prompt=prompt, negative_prompt=negative, size=size, seed=seed, stages=stages
    )


def _draw(cascade: "Cascade", parameters: "JobParameters") -> "Tensor":
    """uint8 [size, size, 3], by the reference loop, with a bar for each stage on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from model.trajectory import StageSettings

    settings = {
        stage.name: StageSettings(stage.steps, stage.sampler, stage.guidance_scale, stage.aug_level)
        for stage in parameters.stages
    }
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = {s.name: bars.add_task(f"{s.size} px", total=s.steps) for s in parameters.stages}
        return cascade.generate(
            parameters.prompt,
            negative_prompt=parameters.negative_prompt,
            seed=parameters.seed,
            size=parameters.size,
            settings=settings,
            progress=lambda stage, done, _: bars.update(bar[stage], completed=done),
        )


if __name__ == "__main__":
    main()
