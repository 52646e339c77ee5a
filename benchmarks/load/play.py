"""A load on one service: who asks for what, when, and how ends are learnt; and plays it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.load.asking import Asker, LearnEnd
from benchmarks.load.bodies import Body
from benchmarks.load.connections import Connections
from benchmarks.load.loops import closed_loop, open_loop
from benchmarks.load.tally import Tally


@dataclass(frozen=True)
class Load:
    """To be played once.

    bodies: the load ends with them. moments: see open_loop; None lets `clients` ask as answers
    come, see closed_loop. give_up_s: see Asker.
    """

    url: str
    bodies: Iterator[Body]
    learn_end: LearnEnd
    clients: int = 1
    moments: Iterable[float] | None = None
    key: str | None = None
    give_up_s: float = 600.0


async def play(load: Load, tally: Tally) -> None:
    """Returns when the last request has ended."""
    async with Connections(load.url, load.key) as connections:
        ask = Asker(connections, load.learn_end, tally, load.give_up_s).ask
        if load.moments is None:
            await closed_loop(ask, load.bodies, load.clients)
        else:
            await open_loop(ask, load.bodies, load.moments)


def played(load: Load, tally: Tally) -> dict[str, Any]:
    """The figures of the whole load, or of what there was of it until Ctrl-C."""
    begun_s, begun_busy_s = time.perf_counter(), time.process_time()
    interrupted = False
    try:
        uvloop.run(play(load, tally))
    except KeyboardInterrupt:
        interrupted = True
    figures = tally.figures(time.perf_counter() - begun_s, time.process_time() - begun_busy_s)
    return {"interrupted": True, **figures} if interrupted else figures
