"""The shape of a picture: which stages run, and its width and height at each of them."""

import math
from collections.abc import Iterator

from app.orders.form import Refusal
from app.orders.request import GenerateRequest
from workers.jobs.card import CascadeCard, StageCard

OTHER_SIDE = {"width": "height", "height": "width"}


class Shape:
    """What a request asks for, at the stages that run, base first."""

    def __init__(self, request: GenerateRequest, card: CascadeCard) -> None:
        self.stages = card.stages[: _last_stage(request, card) + 1]
        self.size = self.stages[-1].size
        asked = {"width": request.width, "height": request.height}
        self._asked = {side: px for side, px in asked.items() if px is not None}
        self._px = dict.fromkeys(asked, self.size) | self._asked
        self._max_pixels = int(card.max_area_ratio * self.size**2)
        self._max_ratio = card.max_aspect_ratio
        self._step = math.lcm(*(_step(stage, self.size) for stage in self.stages))

    @property
    def super_resolution(self) -> tuple[StageCard, ...]:
        """The stages that enlarge."""
        return tuple(stage for stage in self.stages if stage.aug_level is not None)

    @property
    def width(self) -> int:
        """Pixels of the finished picture."""
        return self._px["width"]

    @property
    def height(self) -> int:
        """Pixels of the finished picture."""
        return self._px["height"]

    def at(self, stage: StageCard) -> tuple[int, int]:
        """Width and height of the stage's output, where nothing was refused."""
        return self.width * stage.size // self.size, self.height * stage.size // self.size

    def refusals(self) -> Iterator[Refusal]:
        """The sides that were asked for and cannot be drawn."""
        wrong = [side for side in self._asked if self._problem_alone(side)]
        if not wrong and self.width not in self._partners(self.height):
            wrong = [max(self._asked, key=self._px.__getitem__)]
        for side in wrong:
            yield Refusal(side, None, self._problem_alone(side) or self._problem_together())

    def remedy(self, side: str) -> str:
        """What this side can be, beside the other where that is one that can be drawn."""
        other = self._px[OTHER_SIDE[side]]
        usable = range(0) if other % self._step else self._partners(other)
        usable = usable or self._sides_of_any_two()
        return f"use a multiple of {self._step} from {usable[0]} to {usable[-1]}"

    def _problem_alone(self, side: str) -> str | None:
        if self._px[side] % self._step:
            return f"is no multiple of {self._step}"
        return None if self._partners(self._px[side]) else "is too large"

    def _problem_together(self) -> str:
        if self.width * self.height > self._max_pixels:
            return f"makes a picture of more than {self._max_pixels} pixels"
        return f"makes a picture with one side more than {self._max_ratio:g} times the other"

    def _partners(self, px: int) -> range:
        """The sides that go with this one, ascending."""
        return self._multiples(
            px / self._max_ratio, min(px * self._max_ratio, self._max_pixels / px)
        )

    def _sides_of_any_two(self) -> range:
        """Sides of which any two go together."""
        largest = math.isqrt(self._max_pixels) // self._step * self._step
        return self._multiples(largest / self._max_ratio, largest)

    def _multiples(self, smallest: float, largest: float) -> range:
        """Of the step, both ends included."""
        first = math.ceil(smallest / self._step) * self._step
        return range(first, math.floor(largest) + 1, self._step)


def _last_stage(request: GenerateRequest, card: CascadeCard) -> int:
    """The one of this size; else the nearest in area, where that is told; else the largest."""
    sizes = [stage.size for stage in card.stages]
    if request.size in sizes:
        return sizes.index(request.size)
    if request.size is None and request.width is not None and request.height is not None:
        pixels = request.width * request.height
        # Of two as near, the larger: it may draw less than its square, but not much more.
        return min(reversed(range(len(sizes))), key=lambda i: abs(math.log(pixels / sizes[i] ** 2)))
    return len(sizes) - 1


def _step(stage: StageCard, size: int) -> int:
    """Sides of the finished picture that are multiples of it suit this stage.

    At the stage a side is side * stage.size / size, whole and a multiple of stage.multiple.
    """
    unit = stage.multiple * size
    return unit // math.gcd(unit, stage.size)
