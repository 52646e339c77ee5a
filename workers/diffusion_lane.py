"""A diffusion stage: feeds the stage engine from the queue and hands on what it has drawn."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from torch import Tensor

from model.cascade import Cascade
from model.finishing import Finished
from model.trajectory import TextCondition
from workers import png, tensors
from workers.blame import Blame, attempt
from workers.describe import settings_of
from workers.engine import Admission, Drawn, Failed, StageEngine
from workers.jobs.errors import ImageStoreUnavailable, InputExpired
from workers.jobs.image_store import ImageStore, image_path
from workers.jobs.inputs import EMBEDDINGS_KEPT
from workers.jobs.job import ImageResult, JobError, Task
from workers.jobs.queue import Effect, Queue, Reached
from workers.lane import Outcome
from workers.metrics import WorkerMetrics, timed
from workers.previews import Preview, Previewer

log = logging.getLogger(__name__)


class DiffusionLane:
    """See Lane. One task is one image at this stage."""

    def __init__(
        self,
        engine: StageEngine,
        queue: Queue,
        images: ImageStore,
        worker: str,
        cascade: Cascade,
        metrics: WorkerMetrics | None = None,
    ):
        self.stage = engine.stage.spec.name
        self._engine = engine
        self._queue = queue
        self._images = images
        self._worker = worker
        self._cascade = cascade
        self._metrics = metrics or WorkerMetrics()
        self._tasks: dict[str, Task] = {}
        self._previewer = Previewer(engine)
        self._previews: dict[str, Preview] = {}
        """The latest of each image that has not been taken."""
        # One tensor for equal bytes, which the stage prepares once: images of one job share their
        # text, and nearly all share the empty negative prompt.
        self._embedding = lru_cache(EMBEDDINGS_KEPT)(tensors.from_bytes)

    @property
    def room(self) -> int:
        return self._engine.room

    @property
    def has_work(self) -> bool:
        return self._engine.in_flight > 0

    async def accept(self, task: Task) -> None:
        try:
            inputs = await self._queue.inputs(task)
        except InputExpired as error:
            expired = JobError(code="input_expired", message=str(error))
            await self._queue.fail(task, self._worker, expired)
            return
        self._tasks[task.key] = task
        if task.is_watched:
            self.watch([task.key])
        self._engine.admit(
            Admission(
                key=task.key,
                seed=task.parameters.image_seed(task.image),
                settings=settings_of(task.parameters.stage(task.stage)),
                text=TextCondition(
                    prompt=self._embedding(inputs.prompt_embedding),
                    negative=self._embedding(inputs.negative_embedding),
                ),
                low_res=None if inputs.artifact is None else tensors.from_bytes(inputs.artifact),
            )
        )

    def drop(self, unwanted: Callable[[Task], bool]) -> None:
        for key, task in list(self._tasks.items()):  # a copy: compute() takes tasks out meanwhile
            if unwanted(task):
                self._engine.cancel(key)
                self._tasks.pop(key, None)

    def progress(self) -> list[Reached]:
        return [
            Reached(task, flight.step, flight.steps)
            for flight in self._engine.flights()
            if (task := self._tasks.get(flight.key)) is not None
        ]

    def watch(self, keys: Iterable[str], of: Iterable[Reached] = ()) -> None:
        # What the safety checker may block is not shown before it has looked.
        if not self._cascade.has_checker:
            others = self._previewer.watched - {each.task.key for each in of}
            self._previewer.watched = frozenset(keys) | (others & self._tasks.keys())

    def take_previews(self) -> list[tuple[Reached, bytes]]:
        # compute() puts others in meanwhile.
        previews = [self._previews.pop(key) for key in list(self._previews)]
        return [
            (Reached(task, preview.step, preview.steps), preview.png)
            for preview in previews
            if (task := self._tasks.get(preview.key)) is not None
        ]

    def compute(self) -> list[Outcome]:
        ended = [(self._tasks.pop(each.key, None), each) for each in self._engine.step()]
        self._previews.update({preview.key: preview for preview in self._previewer.draw()})
        # Without a task it was dropped while the step was under way.
        return [self._outcome(task, each) for task, each in ended if task is not None]

    def _outcome(self, task: Task, each: Drawn | Failed) -> Outcome:
        """A picture after the last stage, else the bytes that the next one starts from."""
        output: Finished | bytes | Blame | Failed
        if isinstance(each, Failed):
            output = each
        elif task.parameters.stage_after(self.stage) is None:
            device = self._engine.stage.network.device
            (output,) = attempt(self.stage, device, [each.output], self._finished)
        else:
            output = tensors.to_bytes(each.output)
        if isinstance(output, (Blame, Failed)):
            failure = JobError(code=output.code, message=output.message)
            return Outcome(task, failure=failure)
        return Outcome(task, output)

    def _finished(self, outputs: Sequence[Tensor]) -> list[Finished]:
        return [self._cascade.finish(output) for output in outputs]

    async def commit(self, outcome: Outcome) -> None:
        task, output = outcome.task, outcome.output
        following = task.parameters.stage_after(self.stage)
        if following is None:
            await self._finish(task, output)
        else:
            await self._queue.commit(task, self._worker, output, following.name)

    async def _finish(self, task: Task, finished: Finished) -> None:
        """Store the picture, then record it: a crash between the two stores it again, the same."""
        index = task.image
        path = image_path(task.job_id, index)
        try:
            stored = await asyncio.to_thread(self._store, path, task, finished.pixels)
        except OSError as error:
            raise ImageStoreUnavailable(error.strerror or type(error).__name__) from error
        height, width, _ = finished.pixels.shape
        image = ImageResult(
            index=index,
            seed=task.parameters.image_seed(index),
            width=width,
            height=height,
            path=path,
            sha256=hashlib.sha256(stored).hexdigest(),
            bytes=len(stored),
            blocked_by=finished.blocked_by,
        )
        if await self._queue.finish(task, self._worker, image) is Effect.UNWANTED:
            try:
                await asyncio.to_thread(self._images.remove, path)
            except OSError as error:
                log.warning("%s stays, though no one wants it: %s", path, error)

    def _store(self, path: str, task: Task, pixels: Tensor) -> bytes:
        encoded = png.encode(pixels, self._metadata(task))
        with timed(self._metrics.store_seconds):
            return self._images.put(path, encoded)

    def _metadata(self, task: Task) -> Mapping[str, str]:
        """What it takes to draw this picture again."""
        alone = {"n": 1, "seed": task.parameters.image_seed(task.image)}
        return {
            "cascade": self._cascade.name,
            "parameters": task.parameters.model_copy(update=alone).model_dump_json(),
        }
