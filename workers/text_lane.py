"""The text stage: encodes the prompts of all waiting jobs in one batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from model.text import TextEncoder
from workers import tensors
from workers.jobs.errors import InputExpired
from workers.jobs.job import TEXT_STAGE, JobError, Task
from workers.jobs.queue import Queue
from workers.lane import Outcome

CAPACITY = 16
"""Jobs a batch; two prompts each at most."""


@dataclass(frozen=True)
class _Waiting:
    """missing: the prompts of this job whose embeddings the queue does not have."""

    task: Task
    missing: tuple[str, ...]


class TextLane:
    """See Lane. An embedding that any worker has stored is not made again."""

    stage = TEXT_STAGE

    def __init__(self, encoder: TextEncoder, queue: Queue, worker: str, exact: bool = False):
        """exact: encode each prompt by itself, so that it comes out the same to the last bit."""
        self._encoder = encoder
        self._queue = queue
        self._worker = worker
        self._exact = exact
        self._waiting: deque[_Waiting] = deque()

    @property
    def room(self) -> int:
        return max(0, CAPACITY - len(self._waiting))

    @property
    def has_work(self) -> bool:
        return bool(self._waiting)

    async def accept(self, task: Task) -> None:
        missing = await self._queue.missing_embeddings(self._encoder.identity, _prompts(task))
        self._waiting.append(_Waiting(task, tuple(missing)))

    def compute(self) -> list[Outcome]:
        batch = list(islice(self._waiting, CAPACITY))
        prompts = list(dict.fromkeys(prompt for each in batch for prompt in each.missing))
        encoded: dict[str, bytes] = {}
        if prompts:
            encoded = {p: tensors.to_bytes(e) for p, e in self._encode(prompts)}
        for _ in batch:  # not before: those that cannot be encoded are failed from there
            self._waiting.popleft()
        if not self._waiting:
            self._encoder.release()
        return [Outcome(each.task, {p: encoded[p] for p in each.missing}) for each in batch]

    def _encode(self, prompts: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        batches = [[prompt] for prompt in prompts] if self._exact else [prompts]
        for batch in batches:
            yield from zip(batch, self._encoder.encode(batch), strict=True)

    async def commit(self, outcome: Outcome) -> None:
        task = outcome.task
        try:
            await self._queue.commit_text(
                task, self._worker, self._encoder.identity, outcome.output
            )
        except InputExpired:  # the cache let go of it meanwhile
            self._waiting.append(_Waiting(task, _prompts(task)))

    async def fail_all(self, error: JobError) -> None:
        while self._waiting:
            await self._queue.fail(self._waiting[0].task, self._worker, error)
            self._waiting.popleft()


def _prompts(task: Task) -> tuple[str, ...]:
    return task.parameters.prompt, task.parameters.negative_prompt
