"""The text stage: encodes the prompts of all waiting jobs in one batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from model.text import TextEncoder
from workers import tensors
from workers.blame import Blame, attempt
from workers.jobs.errors import InputExpired
from workers.jobs.job import TEXT_STAGE, JobError, Task
from workers.jobs.queue import Queue
from workers.lane import Outcome
from workers.prompt_warnings import warnings_of

CAPACITY = 16
"""Jobs a batch."""

MOST_PROMPTS = 2 * CAPACITY
"""Of a batch: each job has one, and a negative one."""


@dataclass(frozen=True)
class Encoded:
    """What the text stage makes of a job. embeddings: those that were missing, by prompt."""

    embeddings: Mapping[str, bytes]
    warnings: Sequence[str]


@dataclass(frozen=True)
class _Waiting:
    """missing: the prompts of this job whose embeddings the queue does not have."""

    task: Task
    missing: tuple[str, ...]


class TextLane:
    """See Lane. An embedding that any worker has stored is not made again."""

    stage = TEXT_STAGE

    def __init__(
        self,
        encoder: TextEncoder,
        queue: Queue,
        worker: str,
        exact: bool = False,
        on_step: Callable[[int, int, float], None] = lambda rows, capacity, seconds: None,
    ):
        """exact: encode each prompt by itself, so that it comes out the same to the last bit.

        on_step: told of each batch its prompts, those it had room for, and its time.
        """
        self._encoder = encoder
        self._queue = queue
        self._worker = worker
        self._exact = exact
        self._on_step = on_step
        self._waiting: dict[str, _Waiting] = {}

    @property
    def room(self) -> int:
        return max(0, CAPACITY - len(self._waiting))

    @property
    def has_work(self) -> bool:
        return bool(self._waiting)

    async def accept(self, task: Task) -> None:
        missing = await self._queue.missing_embeddings(self._encoder.identity, _prompts(task))
        self._take_in(task, missing)

    def compute(self) -> list[Outcome]:
        batch = list(self._waiting.values())[:CAPACITY]
        prompts = list(dict.fromkeys(prompt for each in batch for prompt in each.missing))
        encoded = dict(zip(prompts, self._encoded(prompts), strict=True))
        # What was dropped meanwhile is not there any more.
        done = [each for each in batch if self._waiting.pop(each.task.key, None)]
        if not self._waiting:
            self._encoder.release()
        return [self._outcome(each, encoded) for each in done]

    def _encoded(self, prompts: Sequence[str]) -> list[bytes | Blame]:
        if not prompts:
            return []
        self._encoder.load()  # no prompt is to blame where that fails
        device, encode = self._encoder.device, self._encode
        started_s = perf_counter()
        encoded: list[bytes | Blame] = []
        for part in [[prompt] for prompt in prompts] if self._exact else [prompts]:
            encoded += attempt(self.stage, device, part, encode)
        self._on_step(len(prompts), MOST_PROMPTS, perf_counter() - started_s)
        return encoded

    def _encode(self, prompts: Sequence[str]) -> list[bytes]:
        return [tensors.to_bytes(embedding) for embedding in self._encoder.encode(prompts)]

    def _outcome(self, waiting: _Waiting, encoded: Mapping[str, bytes | Blame]) -> Outcome:
        task = waiting.task
        embeddings: dict[str, bytes] = {}
        for prompt in waiting.missing:
            match encoded[prompt]:
                case Blame(code, message):
                    return Outcome(task, failure=JobError(code=code, message=message))
                case embedding:
                    embeddings[prompt] = embedding
        # Of those that are not missing too: the job that they were encoded for was another.
        warnings = warnings_of(self._encoder, task.parameters)
        return Outcome(task, Encoded(embeddings, warnings))

    async def commit(self, outcome: Outcome) -> None:
        task = outcome.task
        made: Encoded = outcome.output
        try:
            await self._queue.commit_text(
                task, self._worker, self._encoder.identity, made.embeddings, made.warnings
            )
        except InputExpired:  # the cache let go of it meanwhile
            self._take_in(task, _prompts(task))

    def drop(self, unwanted: Callable[[Task], bool]) -> None:
        for key, each in list(self._waiting.items()):
            if unwanted(each.task):
                self._waiting.pop(key, None)

    def _take_in(self, task: Task, missing: Sequence[str]) -> None:
        self._waiting[task.key] = _Waiting(task, tuple(missing))


def _prompts(task: Task) -> tuple[str, ...]:
    return task.parameters.prompt, task.parameters.negative_prompt
