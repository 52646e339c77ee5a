"""The stage engine: the images in flight at one stage, stepped together.

Between two denoising steps it takes in new images and lets finished and cancelled ones go, so that
no image waits for another's last step. One that cannot be drawn fails alone. Knows no Redis, HTTP
or PNG.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from torch import Tensor

from model.plan import StageSettings
from model.stage import Stage
from model.trajectory import TextCondition, Trajectory
from workers.blame import OUT_OF_MEMORY, STAGE_FAILED, Blame, attempt, halves

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Admission:
    """An image to be drawn, named by `key`, which no other in the engine has.

    low_res: [3, h, w], the output of the stage before; None at the base.
    """

    key: str
    seed: int
    settings: StageSettings
    text: TextCondition
    low_res: Tensor | None = None


@dataclass
class _Image:
    """rows: as the engine counts them against its capacity. trajectory: None until it is begun."""

    admission: Admission
    rows: int
    trajectory: Trajectory | None = None
    is_cancelled: bool = False

    @property
    def flying(self) -> Trajectory:
        assert self.trajectory is not None
        return self.trajectory


@dataclass(frozen=True)
class Flight:
    """How far an image is: steps done, of how many.

    x0: [3, H, W] float32, about [-1, 1], the clean image as predicted so far.
    """

    key: str
    step: int
    steps: int
    x0: Tensor


@dataclass(frozen=True)
class Drawn:
    """output: [3, S, S] float16 in [-1, 1], on the CPU."""

    key: str
    output: Tensor


@dataclass(frozen=True)
class Failed:
    """An image that cannot be drawn. code, message: see Blame."""

    key: str
    code: str
    message: str


class StageEngine:
    """Images of a step may differ in all of StageSettings, in seed and in shape.

    capacity: rows of the network's batch that a forward holds, at the stage's own size; an image
    takes two where it is guided, and more where it is larger. One image is stepped whatever it
    takes. Where memory ends earlier, the capacity shrinks and stays so.
    `step` belongs to one thread; `admit` and `cancel` may be called from another meanwhile and
    take effect before the next step; so may `flights`.
    """

    def __init__(
        self,
        stage: Stage,
        capacity: int,
        on_step: Callable[[int, int, float], None] = lambda rows, capacity, seconds: None,
    ):
        """on_step: told of each forward its rows, those it had room for, and its time."""
        self.stage = stage
        self.capacity = capacity
        self._on_step = on_step
        self._images: dict[str, _Image] = {}

    @property
    def in_flight(self) -> int:
        """Images admitted and neither drawn nor failed."""
        return len(self._images)

    @property
    def room(self) -> int:
        """How many more images of the usual kind, the stage's defaults, fit into a step."""
        images = self._in_order()
        room = max(0, (self.capacity - _rows(images)) // self._rows_of(self.stage.spec.defaults))
        return room if images else max(1, room)

    def admit(self, admission: Admission) -> None:
        self._images[admission.key] = _Image(admission, self._rows_of(admission.settings))

    def cancel(self, key: str) -> None:
        """Let an image go; one that is not there any more is not missed."""
        image = self._images.get(key)
        if image is not None:
            image.is_cancelled = True

    def flights(self) -> list[Flight]:
        """The images that have taken a step, in the order they came."""
        return [
            Flight(image.admission.key, flying.steps_done, len(flying.plan), flying.x0)
            for image in self._in_order()
            if (flying := image.trajectory) is not None and flying.steps_done > 0
        ]

    def step(self) -> list[Drawn | Failed]:
        """Advance the images in flight by one denoising step; return those that end with it.

        An image that fails takes no other with it. Raises DeviceLost.
        """
        self._let_go()
        drawn: list[Drawn] = []
        failed: list[Failed] = []
        self._take_in(failed)
        for part in self._parts(self._flying()):
            started_s = perf_counter()
            stepped = self._attempt(self._step, part, failed, self._smaller)
            finished = [image for image, trajectory in stepped if trajectory.is_finished]
            outputs = self._attempt(self._finish, finished, failed)
            drawn += [Drawn(image.admission.key, output) for image, output in outputs]
            self._on_step(_rows(part), self.capacity, perf_counter() - started_s)
        ended: list[Drawn | Failed] = [*drawn, *failed]
        for each in ended:
            del self._images[each.key]
        return ended

    def _in_order(self) -> list[_Image]:
        """As they came; a copy, since others may come while it is read."""
        return list(self._images.values())

    def _flying(self) -> list[_Image]:
        return [image for image in self._in_order() if image.trajectory is not None]

    def _let_go(self) -> None:
        for image in self._in_order():
            if image.is_cancelled:
                del self._images[image.admission.key]

    def _fitting(self) -> list[_Image]:
        """Those to begin now: in the order they came, as long as the next one fits."""
        fitting: list[_Image] = []
        rows = _rows(self._flying())
        for image in self._in_order():
            if image.trajectory is not None:
                continue
            if rows and rows + image.rows > self.capacity:
                break
            fitting.append(image)
            rows += image.rows
        return fitting

    def _parts(self, images: Sequence[_Image]) -> Iterator[list[_Image]]:
        """The images, cut where the capacity, as it is by then, is full."""
        part: list[_Image] = []
        for image in images:
            if part and _rows(part) + image.rows > self.capacity:
                yield part
                part = []
            part.append(image)
        if part:
            yield part

    def _smaller(self, part: Sequence[_Image]) -> Iterator[list[_Image]]:
        """The images in parts of half the rows, as all have to be from now on."""
        rows = _rows(part)
        self.capacity = max(1, rows // 2)
        log.warning(
            "stage %s: no memory for %d rows, a forward holds %d from now on",
            self.stage.spec.name,
            rows,
            self.capacity,
            extra={"stage": self.stage.spec.name},
        )
        return self._parts(part)

    def _take_in(self, failed: list[Failed]) -> None:
        """Begin what fits. Where memory ends, it waits for those beside it to be drawn."""
        others = bool(self._flying())
        no_room: list[Failed] = []
        for image, trajectory in self._attempt(self._begin, self._fitting(), no_room):
            image.trajectory = trajectory
            others = True
        failed += [each for each in no_room if each.code != OUT_OF_MEMORY or not others]

    def _begin(self, images: Sequence[_Image]) -> list[Trajectory | Blame]:
        return [self._begin_one(image.admission) for image in images]

    def _begin_one(self, asked: Admission) -> Trajectory | Blame:
        try:
            return self.stage.start(asked.seed, asked.settings, asked.text, asked.low_res)
        except ValueError as error:  # which says what is wrong with the settings
            return Blame(STAGE_FAILED, f"stage {self.stage.spec.name}: {error}")

    def _step(self, images: Sequence[_Image]) -> list[Trajectory]:
        trajectories = [image.flying for image in images]
        self.stage.step(trajectories)
        return trajectories

    def _finish(self, images: Sequence[_Image]) -> list[Tensor]:
        return [self.stage.finish(image.flying) for image in images]

    def _attempt(
        self,
        compute: Callable[[Sequence[_Image]], Iterable[Result | Blame]],
        images: Sequence[_Image],
        failed: list[Failed],
        smaller: Callable[[Sequence[_Image]], Iterable[Sequence[_Image]]] = halves,
    ) -> list[tuple[_Image, Result]]:
        """The images that it can be done with, with what came of it; the others join `failed`."""
        stage = self.stage
        results = attempt(stage.spec.name, stage.network.device, images, compute, smaller)
        done: list[tuple[_Image, Result]] = []
        for image, result in zip(images, results, strict=True):
            if isinstance(result, Blame):
                failed.append(Failed(image.admission.key, result.code, result.message))
            else:
                done.append((image, result))
        return done

    def _rows_of(self, settings: StageSettings) -> int:
        """Rows of the stage's own size that an image takes at the most."""
        size = self.stage.spec.size_px
        area = (settings.width or size) * (settings.height or size)
        return math.ceil(area / size**2) * (1 if settings.guidance_scale == 1 else 2)


def _rows(images: Sequence[_Image]) -> int:
    return sum(image.rows for image in images)
