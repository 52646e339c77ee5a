"""Two worker hosts against one at the same queue: pictures a second, each host a core of its own.

The hosts are of one machine: queue, API and client share those cores, and the cores their memory.
What the machine allows is measured beside it: two bare engines on the two cores against one, with
no service. Ends with status 1 below 0.95 of that, which is 1.9 times where cores share nothing.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from math import ceil
from pathlib import Path
from time import perf_counter

import torch
import uvloop
from torch import Tensor

from benchmarks import drawing
from benchmarks.deployment import api_on, queue_on, until_serving, worker_on
from benchmarks.figures import Row, judge, keep, told
from benchmarks.load.asking import by_waiting
from benchmarks.load.bodies import PROMPTS
from benchmarks.load.play import Load, play
from benchmarks.load.tally import Tally
from benchmarks.network import Host, NoHosts, network
from model.cascade import Cascade
from model.trajectory import TextCondition
from workers.engine import Admission, StageEngine
from workers.jobs.settings import QueueSettings

LEAST_OF_ALLOWED = 0.95
WORKERS = ("worker-1", "worker-2")
ROWS = 8
"""Of a step: with many more, one host would long have nothing to do when a turn ends."""


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    cores = sorted(os.sched_getaffinity(0))[: len(WORKERS)]
    if len(cores) < len(WORKERS):
        sys.exit("hosts: needs two cores")
    try:
        turns = _turns(options, cores)
    except NoHosts as reason:
        sys.exit(f"hosts: {reason}")
    speedup = _median(turns, "two / one")
    allowed = _median(turns, "bare two / one")
    keep(
        "hosts",
        {
            "goal": f"at least {LEAST_OF_ALLOWED} of what the machine allows",
            **vars(options),
            "rows of a step": ROWS,
            "one host, pictures/s": _median(turns, "one pictures/s"),
            "two hosts, pictures/s": _median(turns, "two pictures/s"),
            "two hosts against one": speedup,
            "two bare engines against one": allowed,
            "of what the machine allows": round(speedup / allowed, 3),
            "turns": turns,
        },
    )
    judge("hosts", speedup >= LEAST_OF_ALLOWED * allowed)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--n", type=int, default=4, help="pictures of each")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def _turns(options: argparse.Namespace, cores: Sequence[int]) -> list[Row]:
    """Each measures all four, so that what slows the machine for a while slows all of them."""
    pictures = options.jobs * options.n
    with (
        tempfile.TemporaryDirectory(prefix="imagen") as folder,
        network("queue", "api", "client", *WORKERS) as hosts,
        queue_on(hosts["queue"]) as redis_url,
    ):
        queue = QueueSettings(redis_url=redis_url, data_dir=Path(folder))
        with api_on(hosts["api"], queue) as url:
            turns = []
            for _ in range(options.rounds):
                seconds = [_service_s(hosts, queue, url, cores[:n], options) for n in (1, 2)]
                bare = [_bare_per_s(cores[:n], ceil(pictures / 2)) for n in (1, 2)]
                turns.append(told(turn(pictures, seconds, bare)))
            return turns


def turn(pictures: int, seconds: Sequence[float], bare_per_s: Sequence[float]) -> Row:
    """seconds: of that many pictures by one host, and by two. bare_per_s: by one engine, by two."""
    one_s, two_s = seconds
    one_bare, two_bare = bare_per_s
    return {
        "one pictures/s": round(pictures / one_s, 3),
        "two pictures/s": round(pictures / two_s, 3),
        "two / one": round(one_s / two_s, 3),
        "bare two / one": round(two_bare / one_bare, 3),
    }


def _median(turns: Sequence[Row], name: str) -> float:
    return float(statistics.median(turn[name] for turn in turns))


def _service_s(
    hosts: Mapping[str, Host],
    queue: QueueSettings,
    url: str,
    cores: Sequence[int],
    options: argparse.Namespace,
) -> float:
    """Seconds for all jobs, asked for at once, by as many worker hosts as there are cores."""
    with ExitStack() as stack:
        workers = []
        for name, core in zip(WORKERS, cores, strict=False):
            alike = {"IMAGEN_THREADS": "1", "IMAGEN_ROWS": str(ROWS), "IMAGEN_DEVICE": "cpu"}
            workers.append(stack.enter_context(worker_on(hosts[name], queue, alike)))
            os.sched_setaffinity(workers[-1].popen.pid, {core})  # before it has another thread
        stack.enter_context(hosts["client"].entered())
        until_serving(url, workers)
        _play(url, len(workers), options.n)
        begun_s = perf_counter()
        _play(url, options.jobs, options.n)
        return perf_counter() - begun_s


def _play(url: str, jobs: int, n: int) -> None:
    bodies = iter([{"prompt": PROMPTS[i % len(PROMPTS)], "n": n} for i in range(jobs)])
    tally = Tally()
    uvloop.run(play(Load(url, bodies, by_waiting(1.0), clients=jobs), tally))
    if tally.errors:
        raise RuntimeError(f"not all were served: {dict(tally.errors)}")


def _bare_per_s(cores: Sequence[int], pictures: int) -> float:
    """Pictures a second of one engine on each core, all at once; so many pictures by each."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        engines = [
            stack.enter_context(ProcessPoolExecutor(1, spawn, os.sched_setaffinity, (0, {core})))
            for core in cores
        ]
        for count in (1, pictures):  # the first time they load what they need
            drawn = [engine.submit(_draw_bare, count) for engine in engines]
            per_s = [each.result() for each in drawn]
        return sum(per_s)


def _draw_bare(pictures: int) -> float:
    """Pictures a second of this process, from embeddings to tensors."""
    cascade, text = _loaded()
    begun_s = perf_counter()
    images: Sequence[Tensor | None] = [None] * pictures
    for stage in cascade.stages:
        admissions = [
            Admission(str(seed), seed, stage.spec.defaults, text, image)
            for seed, image in enumerate(images)
        ]
        images = drawing.run(StageEngine(stage, ROWS), admissions)
    return pictures / (perf_counter() - begun_s)


@cache
def _loaded() -> tuple[Cascade, TextCondition]:
    torch.set_num_threads(1)
    cascade = Cascade.load(None, "cpu")
    (text,) = drawing.encode(cascade, PROMPTS[:1])
    return cascade, text


if __name__ == "__main__":
    main(sys.argv[1:])
