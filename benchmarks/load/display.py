"""What is seen while a load runs, where someone looks."""

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.text import Text

from benchmarks.load.tally import Tally

REFRESHES_PER_S = 4


@contextmanager
def shown(tally: Tally, requests: int | None) -> Generator[None]:
    """A line on the terminal that says how the load stands; nothing where stdout is no terminal.

    requests: how many there will be, None where that is open.
    """
    console = Console()
    if not console.is_terminal:
        yield
        return
    begun_s = perf_counter()

    def now() -> Text:
        return Text(line(tally, requests, perf_counter() - begun_s))

    with Live(
        console=console, get_renderable=now, refresh_per_second=REFRESHES_PER_S, transient=True
    ):
        yield


def line(tally: Tally, requests: int | None, seconds: float) -> str:
    """The load as it stands after so many seconds."""
    ended, in_all = tally.ended, "" if requests is None else f" of {requests}"
    return (
        f"{seconds:.0f} s: {tally.in_flight} in flight, {ended}{in_all} done, "
        f"{ended - tally.succeeded} errors, {tally.succeeded / max(seconds, 1e-9):.2f}/s"
    )
