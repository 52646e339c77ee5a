"""Many users at once, each asking for something else: our service and a plain diffusers server.

Both get the same requests at the same times, more than the plain server can keep up with.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from benchmarks.arrivals import IMAGES, STEPS, Arrival, poisson_arrivals
from benchmarks.figures import Row, dtype_name, keep, percentile, told
from benchmarks.serving import serving, serving_diffusers
from benchmarks.sized_cascades import picture_book_shape, write_if_cascade
from benchmarks.theirs import usual_dtype
from model.devices import pick_device
from model.picture_book.prompts import prompts

Ask = Callable[[httpx.AsyncClient, Arrival], Awaitable[int]]
"""Asks a server, waits until the pictures are here, and returns how many came."""

WAIT = {"prefer": "wait=60"}
TIMEOUT_S = 3600.0
"""The plain server answers the last request when it has drawn all before."""


@dataclass(frozen=True)
class Load:
    """What became of the arrivals. whole_s: from the beginning until all pictures were there.

    waited_s: of each request, from its POST to its last picture.
    """

    images: int
    whole_s: float
    waited_s: tuple[float, ...]

    def row(self, server: str) -> Row:
        return {
            "server": server,
            "images": self.images,
            "images/s": round(self.images / self.whole_s, 3),
            "p50 s": round(percentile(self.waited_s, 0.5), 2),
            "p95 s": round(percentile(self.waited_s, 0.95), 2),
        }


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    dtype = getattr(torch, options.dtype)
    words = tuple(prompt.text for prompt in prompts())
    with tempfile.TemporaryDirectory(prefix="imagen") as temporary:
        folder = write_if_cascade(Path(temporary), picture_book_shape())
        with serving_diffusers(folder, dtype) as url:
            picture_s = asyncio.run(_seconds_a_picture(url, ask_diffusers))
            capacity_per_s = 1 / (picture_s * sum(IMAGES) / 2)
            per_s = options.overload * capacity_per_s
            arrivals = poisson_arrivals(options.requests, per_s, words)
            theirs = asyncio.run(play(url, arrivals, ask_diffusers))
        with serving(folder) as service:
            asyncio.run(_seconds_a_picture(service.url, ask_imagen))  # warms it up too
            ours = asyncio.run(play(service.url, arrivals, ask_imagen))
    rows = [told(ours.row("ours")), told(theirs.row(f"diffusers, {dtype_name(dtype)}"))]
    keep(
        "mixed_load",
        {
            "goal": "throughput ratio at least 2, p95 ratio at most 0.5",
            "requests": options.requests,
            "requests/s": round(per_s, 3),
            "times what the plain server can do": options.overload,
            "servers": rows,
            "throughput ratio": round(rows[0]["images/s"] / rows[1]["images/s"], 2),
            "p95 ratio": round(rows[0]["p95 s"] / rows[1]["p95 s"], 3),
        },
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixed_load", description=__doc__)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument(
        "--overload", type=float, default=3.0, help="of what the plain server can do (default: 3)"
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        default=dtype_name(usual_dtype(pick_device())),
        help="of the plain server (default: as its pipelines come)",
    )
    return parser.parse_args(arguments)


async def _seconds_a_picture(url: str, ask: Ask) -> float:
    """Of the mean request, on an idle server that is warm."""
    mean = Arrival(0.0, "a red apple", 0, sum(STEPS) // 2, 5.0, 1)
    await play(url, [mean], ask)
    return (await play(url, [mean], ask)).whole_s


async def play(url: str, arrivals: Sequence[Arrival], ask: Ask) -> Load:
    """Send each request when its time comes, whatever became of those before."""
    unlimited = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=unlimited) as client:
        started_s = time.perf_counter()

        async def send(arrival: Arrival) -> tuple[int, float]:
            await asyncio.sleep(arrival.at_s - (time.perf_counter() - started_s))
            sent_s = time.perf_counter()
            images = await ask(client, arrival)
            return images, time.perf_counter() - sent_s

        ends = await asyncio.gather(*(send(arrival) for arrival in arrivals))
        whole_s = time.perf_counter() - started_s
    return Load(sum(images for images, _ in ends), whole_s, tuple(waited for _, waited in ends))


async def ask_diffusers(client: httpx.AsyncClient, arrival: Arrival) -> int:
    answer = await client.post("/generate", json=_body(arrival))
    return len(answer.raise_for_status().json()["images"])


async def ask_imagen(client: httpx.AsyncClient, arrival: Arrival) -> int:
    answer = await client.post("/generate", json=_body(arrival), headers=WAIT)
    job = answer.raise_for_status().json()
    while job["status"] in ("queued", "running"):
        answer = await client.get(job["urls"]["self"], headers=WAIT)
        job = answer.raise_for_status().json()
    if job["status"] != "succeeded":
        raise RuntimeError(f"job {job['id']} ended as {job['status']}: {job['error']}")
    for image in job["images"]:
        (await client.get(image["url"])).raise_for_status()
    return len(job["images"])


def _body(arrival: Arrival) -> dict[str, Any]:
    return {name: value for name, value in asdict(arrival).items() if name != "at_s"}


if __name__ == "__main__":
    main(sys.argv[1:])
