"""Whether a long queue slows the API: submit and poll with 10,000 jobs waiting, and with none.

Two services side by side, an API and a queue each, get the same requests at the same rate at the
same time, so that whatever the machine does meanwhile is done to both. Neither has a worker, which
would take the cores: what is measured is what the length of the queue costs those who ask. So
there is no idle text worker either, which looks again and again at a queue that waits for drawing.
Ends with status 1 where a ratio is beyond the goal.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from itertools import islice
from time import perf_counter

import uvloop

from benchmarks.arrivals import endless_arrivals
from benchmarks.figures import judge, keep
from benchmarks.load.bodies import PROMPTS, Body, same
from benchmarks.load.connections import Connections
from benchmarks.load.loops import closed_loop, open_loop
from benchmarks.load.tally import Tally, phase_row
from benchmarks.serving import serving_api
from model.cascade import Cascade
from workers.describe import describe
from workers.settings import WorkerSettings

ASKED = {"prompt": "a red apple on a blue background"}

MOST_RATIO = 1.5

PHASES = ("submit", "poll")
FILLERS = 8
WARM_UPS = 100


class Probe:
    """Asks one service. What is timed is in `tally`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.tally = Tally()

    async def add(self, body: Body, due_s: float) -> float:
        """One job more."""
        async with self._connections.one() as client:
            (await client.post("/generate", json=body)).raise_for_status()
        return 0.0

    async def look(self, body: Body, due_s: float) -> float:
        """A job is accepted, looked at, and canceled: the queue stays as long as it is.

        Its acceptance is timed from when it was due, not from when this process came to send it.
        """
        async with self._connections.one() as client:
            accepted = await client.post("/generate", json=body)
            accepted_s = perf_counter()
            job = accepted.raise_for_status().json()
            asked_s = perf_counter()
            looked = await client.get(f"/jobs/{job['id']}")
            looked_s = perf_counter()
            assert looked.raise_for_status().json()["status"] == "queued"
            (await client.post(f"/jobs/{job['id']}/cancel")).raise_for_status()
        self.tally.took("submit", accepted_s - due_s)
        self.tally.took("poll", looked_s - asked_s)
        return 0.0


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    card = describe(Cascade.load(None), WorkerSettings())
    with serving_api(card) as full, serving_api(card) as empty:
        tallies = uvloop.run(_measure(full, empty, options))
    rows = [
        {"waiting": waiting, **phase_row(phase, tally.seconds[phase])}
        for phase in PHASES
        for waiting, tally in zip((options.jobs, 0), tallies, strict=True)
    ]
    ratios = {
        f"p99 ratio, {phase}": round(of_full["p99 ms"] / of_empty["p99 ms"], 3)
        for phase, of_full, of_empty in zip(PHASES, rows[::2], rows[1::2], strict=True)
    }
    goal = f"p99 ratios at most {MOST_RATIO}"
    keep("load_queued", {"goal": goal, **vars(options), **ratios, "phases": rows})
    judge("load_queued", all(ratio <= MOST_RATIO for ratio in ratios.values()))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_queued", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="that wait in the long queue")
    parser.add_argument("--requests", type=int, default=3000, help="to each service")
    parser.add_argument("--rate", type=float, default=15.0, help="a second, to each service")
    return parser.parse_args(arguments)


async def _measure(full: str, empty: str, options: argparse.Namespace) -> list[Tally]:
    async with Connections(full) as to_full, Connections(empty) as to_empty:
        probes = [Probe(to_full), Probe(to_empty)]
        await closed_loop(probes[0].add, islice(same(ASKED), options.jobs), FILLERS)
        for probe in probes:
            await closed_loop(probe.look, islice(same(ASKED), WARM_UPS), 1)
            probe.tally = Tally()
        await asyncio.gather(
            *(
                open_loop(
                    probe.look,
                    islice(same(ASKED), options.requests),
                    # Not the same moments: each would meet the other's request on the way.
                    (each.at_s for each in endless_arrivals(options.rate, PROMPTS, seed)),
                )
                for seed, probe in enumerate(probes)
            )
        )
        return [probe.tally for probe in probes]


if __name__ == "__main__":
    main(sys.argv[1:])
