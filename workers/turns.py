"""Which stage steps next, where one worker serves several."""

from collections import defaultdict
from collections.abc import Sequence

from workers.lane import Lane

PATIENCE = 3
"""How often in a row a stage with work may be passed over."""


class Turns:
    """The most advanced stage goes first, unless an earlier one would starve.

    The image nearest to its end soonest gives back its memory and reaches its reader, and a later
    stage's batch grows only when an earlier stage finishes something, so draining from the end
    keeps the whole pipeline short. Alone, that rule would let a stream of super-resolution work
    stop the base for as long as it lasts; then super-resolution would run dry and start over with
    batches of one. So a stage that was passed over PATIENCE times steps next: under full load
    every stage gets at least every fourth step, and batches stay filled on both sides.
    """

    def __init__(self, lanes: Sequence[Lane]):
        self._lanes = tuple(lanes)
        self._passed_over: defaultdict[str, int] = defaultdict(int)

    def next(self) -> Lane | None:
        """The lane to compute now; None where there is no work. Lanes are in cascade order."""
        ready = [lane for lane in self._lanes if lane.has_work]
        if not ready:
            return None
        starved = [lane for lane in ready if self._passed_over[lane.stage] >= PATIENCE]
        chosen = starved[0] if starved else ready[-1]
        for lane in ready:
            self._passed_over[lane.stage] += 1
        self._passed_over[chosen.stage] = 0
        return chosen
