"""Run the cases: `make bench`, or `make bench CASES="engine pipelines"`."""

import argparse
import sys
from collections.abc import Callable, Iterable

from benchmarks import (
    engine,
    fairness,
    hosts,
    latency,
    load_api,
    load_clients,
    load_queued,
    load_saturation,
    mixed_load,
    pictures,
    pipelines,
    quality,
)

CASES: dict[str, Callable[[], None]] = {
    "latency": latency.main,
    "pictures": pictures.main,
    "engine": engine.main,
    "pipelines": pipelines.main,
    "mixed_load": mixed_load.main,
    "fairness": fairness.main,
    "hosts": hosts.main,
    "load_clients": load_clients.main,
    "load_queued": load_queued.main,
    "load_saturation": load_saturation.main,
    "load_api": load_api.main,
    "quality": quality.main,
}


def main() -> None:
    lines = [f"  {name:<15} {_first_line(run)}" for name, run in CASES.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure, and keep the figures in benchmarks/results/. The cases:\n\n"
        + "\n".join(lines),
        epilog="python -m benchmarks.CASE --help tells what a case can be asked.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="those to run (default: all)")
    cases = parser.parse_args().cases or list(CASES)
    unknown = [name for name in cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    sys.exit("\n".join(_missed(CASES[name] for name in cases)) or None)


def _missed(cases: Iterable[Callable[[], None]]) -> list[str]:
    """Runs all of them. What is said of those that miss their goals; see figures.judge."""
    missed: list[str] = []
    for run in cases:
        try:
            run()
        except SystemExit as error:
            missed.append(str(error))
    return missed


def _first_line(run: Callable[[], None]) -> str:
    """Of the module's docstring."""
    return (sys.modules[run.__module__].__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    main()
