"""A diffusion stage: feeds the stage engine from the queue and hands on what it has drawn."""

import asyncio
import hashlib
from collections.abc import Mapping
from functools import lru_cache

from torch import Tensor

from model.cascade import Cascade
from model.finishing import Finished
from model.trajectory import TextCondition
from workers import png, tensors
from workers.describe import settings_of
from workers.engine import Admission, StageEngine
from workers.jobs.errors import InputExpired
from workers.jobs.image_store import ImageStore, image_path
from workers.jobs.inputs import EMBEDDINGS_KEPT, task_image
from workers.jobs.job import ImageResult, JobError, Task
from workers.jobs.queue import Queue
from workers.lane import Outcome


class DiffusionLane:
    """See Lane. One task is one image at this stage."""

    def __init__(
        self, engine: StageEngine, queue: Queue, images: ImageStore, worker: str, cascade: Cascade
    ):
        self.stage = engine.stage.spec.name
        self._engine = engine
        self._queue = queue
        self._images = images
        self._worker = worker
        self._cascade = cascade
        self._tasks: dict[str, Task] = {}
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
            await self._queue.fail(
                task, self._worker, JobError(code="input_expired", message=str(error))
            )
            return
        self._tasks[task.entry_id] = task
        self._engine.admit(
            Admission(
                key=task.entry_id,
                seed=task.parameters.image_seed(task_image(task)),
                settings=settings_of(task.parameters.stage(task.stage)),
                text=TextCondition(
                    prompt=self._embedding(inputs.prompt_embedding),
                    negative=self._embedding(inputs.negative_embedding),
                ),
                low_res=None if inputs.artifact is None else tensors.from_bytes(inputs.artifact),
            )
        )

    def compute(self) -> list[Outcome]:
        drawn = {each.key: each.output for each in self._engine.step()}
        outcomes = [self._outcome(self._tasks[key], output) for key, output in drawn.items()]
        for key in drawn:  # not before: those that cannot be finished are failed from there
            del self._tasks[key]
        return outcomes

    def _outcome(self, task: Task, output: Tensor) -> Outcome:
        """A picture after the last stage, else the bytes that the next one starts from."""
        is_last = task.parameters.stage_after(self.stage) is None
        return Outcome(task, self._cascade.finish(output) if is_last else tensors.to_bytes(output))

    async def commit(self, outcome: Outcome) -> None:
        task, output = outcome.task, outcome.output
        following = task.parameters.stage_after(self.stage)
        if following is None:
            await self._finish(task, output)
        else:
            await self._queue.commit(task, self._worker, output, following.name)

    async def fail_all(self, error: JobError) -> None:
        self._engine.clear()
        for key in list(self._tasks):
            await self._queue.fail(self._tasks[key], self._worker, error)
            del self._tasks[key]

    async def _finish(self, task: Task, finished: Finished) -> None:
        """Store the picture, then record it: a crash between the two stores it again, the same."""
        index = task_image(task)
        path = image_path(task.job_id, index)
        try:
            stored = await asyncio.to_thread(self._store, path, task, finished.pixels)
        except OSError as error:
            refused = JobError(code="image_store", message=f"the image cannot be stored: {error}")
            await self._queue.fail(task, self._worker, refused)
            return
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
        await self._queue.finish(task, self._worker, image)

    def _store(self, path: str, task: Task, pixels: Tensor) -> bytes:
        return self._images.put(path, png.encode(pixels, self._metadata(task)))

    def _metadata(self, task: Task) -> Mapping[str, str]:
        """What it takes to draw this picture again."""
        alone = {"n": 1, "seed": task.parameters.image_seed(task_image(task))}
        return {
            "cascade": self._cascade.name,
            "parameters": task.parameters.model_copy(update=alone).model_dump_json(),
        }
