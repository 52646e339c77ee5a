"""The stage engine: the images in flight at one stage, stepped together.

Between two denoising steps it takes in new images and lets finished and cancelled ones go, so that
no image waits for another's last step. Knows no Redis, HTTP or PNG.
"""

import math
from collections import deque
from dataclasses import dataclass

from torch import Tensor

from model.plan import StageSettings
from model.stage import Stage
from model.trajectory import TextCondition, Trajectory


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
class _Flying:
    """rows: as the engine counts them against its capacity."""

    trajectory: Trajectory
    rows: int


@dataclass(frozen=True)
class Drawn:
    """output: [3, S, S] float16 in [-1, 1], on the CPU."""

    key: str
    output: Tensor


class StageEngine:
    """Images of a step may differ in all of StageSettings, in seed and in shape.

    capacity: rows of the network's batch that a step holds, at the stage's own size; an image takes
    two where it is guided, and more where it is larger. One image is stepped whatever it takes.
    `step` belongs to one thread; `admit` and `cancel` may be called from another meanwhile and
    take effect before the next step.
    """

    def __init__(self, stage: Stage, capacity: int):
        self.stage = stage
        self.capacity = capacity
        self._arrivals: deque[Admission] = deque()
        self._cancelled: deque[str] = deque()
        self._flying: dict[str, _Flying] = {}

    @property
    def in_flight(self) -> int:
        """Images admitted and not yet drawn."""
        return len(self._arrivals) + len(self._flying)

    @property
    def room(self) -> int:
        """How many more images of the usual kind, the stage's defaults, fit into a step."""
        waiting = sum(self._rows(arrival.settings) for arrival in list(self._arrivals))
        free = self.capacity - waiting - self._rows_in_flight
        room = max(0, free // self._rows(self.stage.spec.defaults))
        return room if self.in_flight else max(1, room)

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
        self.stage.step([each.trajectory for each in self._flying.values()])
        drawn = [
            Drawn(key, self.stage.finish(each.trajectory))
            for key, each in self._flying.items()
            if each.trajectory.is_finished
        ]
        for each in drawn:
            del self._flying[each.key]
        return drawn

    def clear(self) -> None:
        """Let all images go, after a step that failed."""
        self._flying.clear()
        self._arrivals.clear()

    def _take_in(self) -> None:
        while self._arrivals:
            rows = self._rows(self._arrivals[0].settings)
            if self._flying and self._rows_in_flight + rows > self.capacity:
                return
            arrival = self._arrivals[0]
            trajectory = self.stage.start(
                arrival.seed, arrival.settings, arrival.text, arrival.low_res
            )
            self._flying[arrival.key] = _Flying(trajectory, rows)
            self._arrivals.popleft()

    def _let_go(self) -> None:
        while self._cancelled:
            key = self._cancelled.popleft()
            self._flying.pop(key, None)
            for arrival in [a for a in list(self._arrivals) if a.key == key]:
                self._arrivals.remove(arrival)

    @property
    def _rows_in_flight(self) -> int:
        return sum(each.rows for each in list(self._flying.values()))

    def _rows(self, settings: StageSettings) -> int:
        """Rows of the stage's own size that an image takes at the most."""
        size = self.stage.spec.size_px
        area = (settings.width or size) * (settings.height or size)
        return math.ceil(area / size**2) * (1 if settings.guidance_scale == 1 else 2)
