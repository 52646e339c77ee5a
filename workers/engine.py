"""The stage engine: the images in flight at one stage, stepped together.

Between two denoising steps it takes in new images and lets finished and cancelled ones go, so that
no image waits for another's last step. Knows no Redis, HTTP or PNG.
"""

from collections import deque
from dataclasses import dataclass

from torch import Tensor

from model.stage import Stage
from model.trajectory import StageSettings, TextCondition, Trajectory


@dataclass(frozen=True)
class Admission:
    """An image to be drawn, named by `key`.

    low_res: [3, h, w], the output of the stage before; None at the base.
    """

    key: str
    seed: int
    settings: StageSettings
    text: TextCondition
    low_res: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """output: [3, S, S] float16 in [-1, 1], on the CPU."""

    key: str
    output: Tensor


class StageEngine:
    """Rows of a step may differ in step count, sampler, guidance scale, seed and aug_level.

    `step` belongs to one thread; `admit` and `cancel` may be called from another meanwhile and
    take effect before the next step.
    """

    def __init__(self, stage: Stage, capacity: int):
        self.stage = stage
        self.capacity = capacity
        self._arrivals: deque[Admission] = deque()
        self._cancelled: deque[str] = deque()
        self._flying: dict[str, Trajectory] = {}

    @property
    def in_flight(self) -> int:
        """Images admitted and not yet drawn."""
        return len(self._arrivals) + len(self._flying)

    @property
    def room(self) -> int:
        """How many more images fit into a step."""
        return max(0, self.capacity - self.in_flight)

    def admit(self, admission: Admission) -> None:
        self._arrivals.append(admission)

    def cancel(self, key: str) -> None:
        """Let an image go; one that is not there any more is not missed."""
        self._cancelled.append(key)

    def step(self) -> list[Drawn]:
        """Advance every image in flight by one denoising step; return those that are drawn."""
        self._take_in()
        self._let_go()
        if not self._flying:
            return []
        self.stage.step(list(self._flying.values()))
        drawn = [
            Drawn(key, self.stage.finish(trajectory))
            for key, trajectory in self._flying.items()
            if trajectory.is_finished
        ]
        for each in drawn:
            del self._flying[each.key]
        return drawn

    def clear(self) -> list[str]:
        """Let all images go, after a step that failed; return their keys."""
        keys = [*self._flying, *(admission.key for admission in self._arrivals)]
        self._flying.clear()
        self._arrivals.clear()
        return keys

    def _take_in(self) -> None:
        while self._arrivals and len(self._flying) < self.capacity:
            arrival = self._arrivals.popleft()
            self._flying[arrival.key] = self.stage.start(
                arrival.seed, arrival.settings, arrival.text, arrival.low_res
            )

    def _let_go(self) -> None:
        while self._cancelled:
            key = self._cancelled.popleft()
            self._flying.pop(key, None)
            for arrival in [a for a in self._arrivals if a.key == key]:
                self._arrivals.remove(arrival)
