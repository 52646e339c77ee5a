"""`imagen`: the one place that may start everything.

Whatever is slow to import is imported by the command that needs it, so that `imagen api` runs
where torch is not even installed.
"""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app import keys_command
from app.address import Unguarded
from app.options import read_settings
from app.supervisor import WRONG_USAGE, ProgramRefused
from workers.jobs.errors import ImagenError

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
cli.add_typer(keys_command.commands)

Host = Annotated[
    str | None, typer.Option(help="Address to listen on (IMAGEN_HOST, else 127.0.0.1).")
]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on (IMAGEN_PORT, else 8000).", min=1, max=65_535)
]
NoAuth = Annotated[
    bool, typer.Option("--no-auth", help="Serve everybody in reach, without keys (IMAGEN_AUTH).")
]
CascadeSource = Annotated[
    str | None,
    typer.Option(
        "--cascade",
        help="Cascade folder, cascade.json, or hub id such as DeepFloyd/IF-I-XL-v1.0 "
        "(IMAGEN_CASCADE, else picture-book).",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="auto, cpu, cuda:1, or by part: cuda,text=cpu,text=int8 (IMAGEN_DEVICE)."),
]


@cli.command()
def serve(
    host: Host = None,
    port: Port = None,
    no_auth: NoAuth = False,
    cascade: CascadeSource = None,
    device: Device = None,
) -> None:
    """Serve pictures: API, worker and, unless IMAGEN_REDIS_URL names one, a queue.

    Restarts what dies. Ctrl-C stops everything.
    """
    from app.serve import serve
    from app.settings import ApiSettings

    _log_as("imagen")
    settings = read_settings(ApiSettings, host=host, port=port, auth=_auth(no_auth))
    serve(settings, worker_environment(cascade, device))


@cli.command()
def api(host: Host = None, port: Port = None, no_auth: NoAuth = False) -> None:
    """Serve HTTP alone, with the queue at IMAGEN_REDIS_URL. Needs no torch."""
    import uvicorn

    from app.address import check_can_listen, local_url
    from app.auth import check_guarded
    from app.main import create_app
    from app.settings import ApiSettings

    _log_as("api")
    settings = read_settings(ApiSettings, host=host, port=port, auth=_auth(no_auth))
    check_can_listen(settings.host, settings.port)
    asyncio.run(check_guarded(settings))
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
    cascade: CascadeSource = None,
    device: Device = None,
) -> None:
    """Draw what the queue at IMAGEN_REDIS_URL asks for."""
    _prepare_torch()
    from model.errors import InvalidCascade
    from workers.main import run
    from workers.settings import WorkerSettings

    _log_as("worker")
    settings = read_settings(WorkerSettings, stages=stages, cascade=cascade, device=device)
    try:
        run(settings)
    except InvalidCascade as error:
        raise typer.BadParameter(str(error), param_hint="--cascade, --device, --stages") from error


@cli.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")],
    negative_prompt: Annotated[
        str, typer.Option("--negative", help="What to steer away from.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same picture (else random).", min=0, max=MAX_SEED)
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels a side, the size of a stage (else the largest).")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels, where not the size.", min=1)] = None,
    height: Annotated[int | None, typer.Option(help="Pixels, where not the size.", min=1)] = None,
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps of each stage (else the cascade's).", min=1)
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="How hard to follow the prompt (else the cascade's).", min=0),
    ] = None,
    guidance_interval: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Times to follow it at, of 0, picture, to 1, noise (else the cascade's).",
            metavar="FROM TO",
            min=0,
            max=1,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="ddpm, ddim, dpmpp, dpmpp_1, dpmpp_sde or dpmpp_sde_1 (else the cascade's)."
        ),
    ] = None,
    eta: Annotated[
        float | None,
        typer.Option(help="How much of ddim's noise is fresh (else none).", min=0, max=1),
    ] = None,
    cascade: CascadeSource = None,
    device: Device = None,
) -> None:
    """Draw one picture here and now: no server, no queue."""
    asked = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "seed": seed,
        "size": size,
        "width": width,
        "height": height,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "guidance_interval": guidance_interval,
        "sampler": sampler,
        "eta": eta,
    }
    _check_can_write(output)
    _prepare_torch()
    from app.draw import draw
    from workers.settings import WorkerSettings

    started = time.monotonic()
    settings = read_settings(WorkerSettings, cascade=cascade, device=device)
    try:
        drawn, blocked_by = draw(asked, settings, output)
    except ValueError as error:  # the model's word for what it cannot use
        raise typer.BadParameter(str(error)) from error
    took_s = time.monotonic() - started
    print(f"{output}: {drawn.width} x {drawn.height} px, seed {drawn.seed}, {took_s:.1f} s")
    if blocked_by is not None:
        _fail(f"the picture is black: the cascade's safety checker took it for {blocked_by}")


def main() -> None:
    """The console command. Exit status: 0 done, 1 failed, 2 wrong usage."""
    try:
        cli(prog_name="imagen")
    except (ProgramRefused, Unguarded) as error:
        _fail(str(error), WRONG_USAGE)
    except (ImagenError, OSError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        _fail(f"{error}: what workers need comes with `pip install 'imagen-server[worker]'`")


def worker_environment(cascade: str | None, device: str | None) -> dict[str, str]:
    """What `imagen serve` was told that its worker needs to know."""
    if cascade is not None and Path(cascade).exists():
        # It is looked for here, not where the worker may run.
        cascade = str(Path(cascade).absolute())
    told = {"IMAGEN_CASCADE": cascade, "IMAGEN_DEVICE": device}
    return {name: value for name, value in told.items() if value is not None}


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


def _auth(no_auth: bool) -> str | None:
    """What the option says for the settings."""
    return "none" if no_auth else None


def _prepare_torch() -> None:
    """Before torch is imported for the first time."""
    # How long its threads spin before they sleep, where nothing else is set. By default they spin
    # through whatever else wants their core, and then a step takes ten times as long; so short, it
    # takes no longer on an idle machine and twice as long on a busy one.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours tell more


def _check_can_write(output: Path) -> None:
    """Before minutes are spent on a picture that has nowhere to go."""
    if output.suffix.lower() != ".png":
        raise typer.BadParameter(f"{output} must end in .png", param_hint="--output")
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"make the folder {output.parent} first", param_hint="--output")


if __name__ == "__main__":
    main()
