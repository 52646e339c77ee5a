"""A thousand clients at once, each of whom asks again as soon as its job is done: all are served.

Pictures of a few steps, so that a machine without a GPU draws a thousand of them in minutes; what a
thousand clients are to queue and API does not depend on how long a picture takes.
Ends with status 1 where one was not served.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice

from benchmarks.figures import judge, keep
from benchmarks.load.asking import by_waiting
from benchmarks.load.bodies import same
from benchmarks.load.command import allow_connections
from benchmarks.load.play import Load, played
from benchmarks.load.tally import Tally
from benchmarks.serving import serving

ASKED = {"prompt": "a red apple", "size": 128, "steps": [3, 1], "guidance_scale": 1.0}


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    allow_connections()
    with serving() as service:
        bodies = islice(same(ASKED), options.requests)
        load = Load(service.url, bodies, by_waiting(1.0), clients=options.clients)
        figures = played(load, Tally())
    keep("load_clients", {"goal": "all succeeded", **vars(options), "asked": ASKED, **figures})
    judge("load_clients", figures["succeeded"] == options.requests)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1100, help="of all together")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
