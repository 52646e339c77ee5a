"""What our API does beyond the least that one can do: requests a second of both, without a worker.

Asked by wire.py, since httpx would be slower than what it measures.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial

import uvloop

from benchmarks import rounds, wire
from benchmarks.figures import Row, keep, told
from benchmarks.load.connections import Connections
from benchmarks.serving import serving_api, serving_bare_api
from model.cascade import Cascade
from workers.describe import describe
from workers.settings import WorkerSettings

ASKED = {"prompt": "a red apple on a blue background", "seed": 7}

Measured = tuple[str, bytes]
"""The URL of a service, and the request that it gets again and again."""


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    card = describe(Cascade.load(None), WorkerSettings())
    with serving_api(card) as ours, serving_bare_api() as bare:
        asked = {url: wire.post(f"{url}/generate", ASKED) for url in (ours, bare)}
        ids = {url: json.loads(wire.send(url, asked[url], 1, 1))["id"] for url in asked}
        looked = {url: wire.get(f"{url}/jobs/{ids[url]}") for url in asked}
        rows = [
            told(_measure("POST /generate", (ours, asked[ours]), (bare, asked[bare]), options)),
            told(_measure("GET /jobs/{id}", (ours, looked[ours]), (bare, looked[bare]), options)),
        ]
        ceilings = {
            "this client could do, requests/s": _wire_ceiling(bare, asked[bare], options),
            "an httpx client could do, requests/s": _httpx_ceiling(bare, options),
        }
    keep("load_api", {**vars(options), **ceilings, "routes": rows})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_api", description=__doc__)
    parser.add_argument("--requests", type=int, default=3000, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=16)
    return parser.parse_args(arguments)


def _measure(route: str, ours: Measured, bare: Measured, options: argparse.Namespace) -> Row:
    size = options.requests, options.connections
    seconds = rounds.interleaved(
        {"ours": partial(wire.send, *ours, *size), "bare": partial(wire.send, *bare, *size)},
        options.rounds,
    )
    return {
        "route": route,
        "ours, requests/s": _rate(options.requests, statistics.median(seconds["ours"])),
        "bare, requests/s": _rate(options.requests, statistics.median(seconds["bare"])),
        "ratio": round(rounds.speedup(seconds, "ours", "bare"), 3),
    }


def _wire_ceiling(url: str, request: bytes, options: argparse.Namespace) -> float:
    """By what it computes for each request."""
    begun_s = time.process_time()
    wire.send(url, request, options.requests, options.connections)
    return _rate(options.requests, time.process_time() - begun_s)


def _httpx_ceiling(url: str, options: argparse.Namespace) -> float:
    """That of benchmarks.load, likewise."""
    left = iter(range(options.requests))

    async def client(connections: Connections) -> None:
        async with connections.one() as connection:
            for _ in left:
                (await connection.post("/generate", json=ASKED)).raise_for_status()

    async def ask() -> None:
        async with Connections(url) as connections:
            await asyncio.gather(*(client(connections) for _ in range(options.connections)))

    begun_s = time.process_time()
    uvloop.run(ask())
    return _rate(options.requests, time.process_time() - begun_s)


def _rate(requests: int, seconds: float) -> float:
    return round(requests / seconds, 1)


if __name__ == "__main__":
    main(sys.argv[1:])
