"""What `imagen generate` does here: draws in this process, as the service would draw it.

One of the few files of the app that reach the model, so only that command imports it.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from app.orders.resolve import resolve
from model.finishing import Finished
from workers import png
from workers.describe import describe, settings_of
from workers.jobs.job import TEXT_STAGE
from workers.main import load
from workers.prompt_warnings import warnings_of
from workers.settings import WorkerSettings

Progress = Callable[[int, str, int], None]
"""Called after each step with (index of the picture, stage, steps done)."""


@dataclass(frozen=True)
class Picture:
    """blocked_by: what a safety checker made it black for."""

    index: int
    seed: int
    png: bytes
    blocked_by: str | None


class Drawing:
    """A request, and the cascade that is loaded for it."""

    def __init__(self, request: Mapping[str, object], settings: WorkerSettings) -> None:
        """request: as for POST /generate.

        Raises: InvalidRequest, InvalidCascade.
        """
        # How much work one client may ask for is the service's matter, and which stages to serve.
        mine = {"max_steps": sys.maxsize, "max_images": sys.maxsize, "stages": ()}
        settings = settings.model_copy(update=mine)
        self.parameters = resolve(dict(request), describe(load(settings), settings))
        needed = (TEXT_STAGE, *(stage.name for stage in self.parameters.stages))
        self._cascade = load(settings.model_copy(update={"stages": needed}))
        self.warnings = warnings_of(self._cascade.text, self.parameters)

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """One after another, by the reference loop. Raises: NotFinite."""
        for index in range(self.parameters.n):
            seed = self.parameters.image_seed(index)
            finished = self._draw(seed, partial(progress, index))
            yield Picture(index, seed, self._as_png(finished, seed), finished.blocked_by)

    def _draw(self, seed: int, progress: Callable[[str, int], None]) -> Finished:
        return self._cascade.generate(
            self.parameters.prompt,
            negative_prompt=self.parameters.negative_prompt,
            seed=seed,
            size=self.parameters.size,
            settings={stage.name: settings_of(stage) for stage in self.parameters.stages},
            progress=lambda stage, done, _: progress(stage, done),
        )

    def _as_png(self, picture: Finished, seed: int) -> bytes:
        """With what it takes to draw this picture again."""
        alone = self.parameters.model_copy(update={"n": 1, "seed": seed})
        metadata = {"cascade": self._cascade.name, "parameters": alone.model_dump_json()}
        return png.encode(picture.pixels, metadata)
