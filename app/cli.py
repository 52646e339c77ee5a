"""`imagen`: the table of its commands, and what all of them have in common."""

import typer

from app.commands.api import api
from app.commands.evaluate import evaluate
from app.commands.generate import generate
from app.commands.jobs import jobs
from app.commands.keys import keys
from app.commands.measuring import PASSED_ON, bench, load
from app.commands.outcome import Commands
from app.commands.serve import serve
from app.commands.train import train
from app.commands.worker import worker

SERVE = "Serve"
DRAW = "Draw"
MEASURE = "Measure"
TRAIN = "Train"

cli = typer.Typer(
    name="imagen",
    cls=Commands,
    help="A self-hosted Imagen: text in, pictures out.",
    epilog="""Settings are IMAGEN_* variables; an option goes before its variable.
Results are on stdout, all else is on stderr.

Exit status: 0 done; 1 failed; 2 wrong usage, or a request that is refused;
3 the service cannot be reached, or has no worker or room: try again later;
4 the job was canceled or has expired; 130 ended by Ctrl-C.""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
cli.command(rich_help_panel=DRAW)(generate)
cli.add_typer(jobs, rich_help_panel=DRAW)
cli.command(rich_help_panel=SERVE)(serve)
cli.command(rich_help_panel=SERVE)(api)
cli.command(rich_help_panel=SERVE)(worker)
cli.add_typer(keys, rich_help_panel=SERVE)
for measure in (load, bench):
    cli.command(rich_help_panel=MEASURE, add_help_option=False, context_settings=PASSED_ON)(measure)
cli.command(rich_help_panel=MEASURE)(evaluate)
cli.command(rich_help_panel=TRAIN)(train)


def main() -> None:
    """The console command."""
    cli(prog_name="imagen")


if __name__ == "__main__":
    main()
