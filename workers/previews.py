"""What images look like while they are drawn, for those who watch. For the compute thread alone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from model.cascade import to_pixels
from workers import png
from workers.blame import Blame, attempt
from workers.engine import StageEngine

PREVIEW_PX = 128
"""The longer side is at most so long."""

PAUSE_S = 0.1
"""Between two previews of one image."""

SHARE = 1 / 20
"""Of the compute thread's time that previews may take, the wait for a GPU included."""


@dataclass(frozen=True)
class Preview:
    """What an image looked like after so many steps, of how many. png: small.

    Not the flight: with its x0 all of the batch's would stay in memory.
    """

    key: str
    step: int
    steps: int
    png: bytes


class Previewer:
    """Draws previews of those images of an engine that are watched, in turns."""

    def __init__(self, engine: StageEngine, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: in seconds."""
        self.watched: frozenset[str] = frozenset()
        """Keys; set by the event loop."""
        self._engine = engine
        self._clock = clock
        self._drawn_at_s: dict[str, float] = {}
        self._rests_until_s = 0.0

    def draw(self) -> list[Preview]:
        """Previews that are due, as many as there is time for; called between two steps.

        One that cannot be drawn is left out. Raises DeviceLost.
        """
        watched = self.watched
        if not watched:
            return []
        flights = [each for each in self._engine.flights() if each.key in watched]
        self._drawn_at_s = {each.key: self._drawn_at_s.get(each.key, -PAUSE_S) for each in flights}
        stage = self._engine.stage
        previews: list[Preview] = []
        for flight in sorted(flights, key=lambda each: self._drawn_at_s[each.key]):
            started_s = self._clock()
            if started_s < max(self._rests_until_s, self._drawn_at_s[flight.key] + PAUSE_S):
                break
            (drawn,) = attempt(stage.spec.name, stage.network.device, [flight.x0], _as_png)
            if not isinstance(drawn, Blame):
                previews.append(Preview(flight.key, flight.step, flight.steps, drawn))
            self._drawn_at_s[flight.key] = self._clock()
            self._rests_until_s = self._clock() + (self._clock() - started_s) / SHARE
        return previews


def _as_png(predictions: Sequence[Tensor]) -> list[bytes]:
    return [png.encode(_small(x0), {}) for x0 in predictions]


def _small(x0: Tensor) -> Tensor:
    """[3, H, W] about [-1, 1], NaN where it has failed, to uint8 [h, w, 3] on the CPU."""
    height, width = x0.shape[1:]
    shrunk = min(1.0, PREVIEW_PX / max(height, width))
    if shrunk < 1:
        size = max(1, round(height * shrunk)), max(1, round(width * shrunk))
        x0 = F.interpolate(x0[None], size=size, mode="area")[0]
    return to_pixels(x0.nan_to_num(0)).contiguous().cpu()
