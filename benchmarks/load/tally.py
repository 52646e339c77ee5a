"""What became of the requests of a load, and how long each phase of them took."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.figures import Row, percentile

REFUSED = "status 429"
"""The service's own word for "enough": no failure of it."""

FIRST, LAST = ("late", "submit", "poll"), ("whole",)
"""Phases in the order in which they are shown; those of the queue and the stages between them."""


class Tally:
    """Counts as the load goes on, and keeps the seconds that each phase took, by its name.

    - late: from when a request was due to when it was sent, which is the client's own fault
    - submit: POST /generate until it is accepted
    - queue STAGE, stage STAGE: of each job that succeeded, as the service tells in its `timings`
    - poll: GET /jobs/{id}, where ends are learnt so
    - whole: from when a request was due until the client knew that its job had succeeded
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.ended = 0
        self.succeeded = 0
        self.pictures = 0
        self.errors: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    @property
    def failed(self) -> int:
        """Requests that ended in an error that is not the service's own refusal."""
        return self.ended - self.succeeded - self.errors[REFUSED]

    def took(self, phase: str, seconds: float) -> None:
        self.seconds[phase].append(seconds)

    def success(self, job: Mapping[str, Any]) -> None:
        """A job that succeeded, as GET /jobs/{id} answers it."""
        self.ended += 1
        self.succeeded += 1
        self.pictures += len(job["images"])
        for timing in job["timings"]:
            self.took(f"queue {timing['stage']}", timing["queued_s"])
            self.took(f"stage {timing['stage']}", timing["took_s"])

    def error(self, kind: str) -> None:
        """A request that brought no pictures, and why."""
        self.ended += 1
        self.errors[kind] += 1

    def figures(self, took_s: float, busy_s: float) -> dict[str, Any]:
        """All that is told in the end.

        took_s: from the first request to the last end. busy_s: processor time of the client.
        """
        return {
            "requests": self.ended,
            "succeeded": self.succeeded,
            "pictures": self.pictures,
            "errors": dict(self.errors.most_common()),
            "seconds": round(took_s, 2),
            "requests/s": round(self.succeeded / took_s, 3),
            "pictures/s": round(self.pictures / took_s, 3),
            "client busy": round(busy_s / took_s, 3),
            "phases": [phase_row(phase, self.seconds[phase]) for phase in self._phases()],
        }

    def _phases(self) -> list[str]:
        between = [phase for phase in self.seconds if phase not in (*FIRST, *LAST)]
        return [phase for phase in (*FIRST, *between, *LAST) if phase in self.seconds]


def phase_row(phase: str, seconds: Sequence[float]) -> Row:
    """How long it took half of them, nearly all, and the slowest, in ms."""

    def ms(share: float) -> float:
        return round(1000 * percentile(seconds, share), 2)

    return {
        "phase": phase,
        "times": len(seconds),
        "p50 ms": ms(0.5),
        "p95 ms": ms(0.95),
        "p99 ms": ms(0.99),
        "max ms": ms(1.0),
    }
