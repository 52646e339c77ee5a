"""The command: from options to a load, from its tally to what is printed, written and returned."""

import argparse
import json
import os
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import httpx

from benchmarks.arrivals import endless_arrivals
from benchmarks.figures import show
from benchmarks.load.asking import LearnEnd, by_events, by_polling, by_waiting
from benchmarks.load.bodies import PROMPTS, Body, mixed, same
from benchmarks.load.display import shown
from benchmarks.load.loops import until
from benchmarks.load.options import read_options
from benchmarks.load.play import Load, played
from benchmarks.load.tally import Tally
from benchmarks.serving import Service, serving

APPLE: Body = {"prompt": "a red apple on a blue background"}

MOST_FILES = 65_536
BUSY = 0.8
"""A client that computes for more of the time may be what is slow."""

INTERRUPTED = 130


def main(arguments: Sequence[str] = (), prog: str = "python -m benchmarks.load") -> None:
    """Put a load on a service, and print what became of it.

    Raises: SystemExit, with 1 where a request failed for another reason than a 429.
    """
    options = read_options(arguments, prog)
    allow_connections()
    with nullcontext(Service(options.url, {})) if options.url else serving() as service:
        load = _load(options, service.url)
        described = f"{_described(options)}, on {service.url}"
        print(described, flush=True)
        tally = Tally()
        with shown(tally, options.requests):
            figures = played(load, tally)
    show(figures)
    if figures["client busy"] > BUSY:
        print("The client was busy: it may be what was slow, not the service.")
    if options.json is not None:
        _write(options.json, {"load": described, **figures})
    if "interrupted" in figures:
        sys.exit(INTERRUPTED)
    if tally.failed:
        sys.exit(1)


def allow_connections() -> None:
    """Let this process, and those that it starts, hold as many connections as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _load(options: argparse.Namespace, url: str) -> Load:
    key = options.key or os.environ.get("IMAGEN_API_KEY")
    card = _card(url, key)
    bodies = mixed(card, options.body) if options.mix else same({**APPLE, **options.body})
    moments: Iterator[float] | None = None
    if options.rate is not None:
        moments = (arrival.at_s for arrival in endless_arrivals(options.rate, PROMPTS))
    if options.requests is not None:
        bodies = islice(bodies, options.requests)
    elif moments is None:
        bodies = until(bodies, options.seconds)
    else:
        moments = takewhile(lambda at_s: at_s < options.seconds, moments)
    return Load(
        url=url,
        bodies=bodies,
        learn_end=_learn_end(options),
        clients=options.clients,
        moments=moments,
        key=key,
        give_up_s=options.give_up_s,
    )


def _card(url: str, key: str | None) -> Mapping[str, Any]:
    """The cascade that is served there. Before the load, so that a wrong URL or key is said once.

    Raises: SystemExit.
    """
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        answer = httpx.get(f"{url.rstrip('/')}/model", headers=headers, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        sys.exit(f"{url} cannot be reached: {error}")
    if not answer.is_success:
        sys.exit(f"{url}/model answers {answer.status_code}: {answer.text}")
    try:
        card: Mapping[str, Any] = answer.json()["cascade"]
    except (ValueError, TypeError, KeyError):
        sys.exit(f"{url} is another service: its /model tells of no cascade")
    return card


def _learn_end(options: argparse.Namespace) -> LearnEnd:
    match options.ends:
        case "wait":
            return by_waiting(options.poll_s)
        case "poll":
            return by_polling(options.poll_s)
        case _:
            return by_events


def _described(options: argparse.Namespace) -> str:
    how = (
        f"{options.clients} clients, each asks again when its job has ended"
        if options.rate is None
        else f"{options.rate:g} requests a second, whatever is unanswered"
    )
    how_long = (
        f"for {options.seconds:g} s" if options.requests is None else f"{options.requests} in all"
    )
    return f"{how}, {how_long}"


def _write(path: Path, figures: Mapping[str, Any]) -> None:
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    path.write_text(json.dumps({"measured_at": measured_at, **figures}, indent=2) + "\n")
