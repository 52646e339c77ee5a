"""Cards: what the workers serve and where, told to an API that has neither torch nor weights."""

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.contract import CONTRACT, is_understood
from workers.jobs.errors import NoCard
from workers.jobs.job import Interval, Record
from workers.jobs.scripts import source

if TYPE_CHECKING:
    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis


OTHER_VERSION = "the workers publish a card of another version of imagen"


class StageCard(Record):
    """One diffusion stage: its defaults and limits."""

    name: str
    """The size as a string; also names the stage's queue."""
    size: int = Field(gt=0)
    """Pixels a side of its output, where that is a square."""
    multiple: int = Field(gt=0)
    """Width and height of its output are multiples of it."""
    steps: int = Field(gt=0)
    max_steps: int = Field(gt=0)
    guidance_scale: float
    max_guidance_scale: float
    guidance_interval: Interval = (0.0, 1.0)
    guidance_distilled: bool = False
    """Whether the network draws as if guided: then guidance_scale is 1 and no other."""
    sampler: str
    samplers: tuple[str, ...] = Field(min_length=1)
    aug_level: float | None = Field(default=None, ge=0, le=1)
    """Default noise on the low-resolution input; None for the base stage."""

    @model_validator(mode="after")
    def _square_is_possible(self) -> Self:
        if self.size % self.multiple:
            raise ValueError(f"stage {self.name}: {self.size} is no multiple of {self.multiple}")
        return self


class AdapterCard(Record):
    """A low-rank adapter that a request may ask for."""

    name: str
    stage: str
    """The name of the one stage that it is of."""


class CascadeCard(Record):
    """A served cascade: stages in order, base first."""

    contract: int = CONTRACT
    """What the workers that publish it speak."""
    name: str
    text_encoder: str
    """Content hash: two workers may share embeddings exactly when these are equal."""
    max_prompt_chars: int = Field(gt=0)
    max_prompt_tokens: int = Field(gt=0)
    """Where the text encoder cuts; the API has no tokenizer and enforces only the characters."""
    known_words: tuple[str, ...] = ()
    """All that the text encoder knows, where these are words and few."""
    stages: tuple[StageCard, ...] = Field(min_length=1)
    adapters: tuple[AdapterCard, ...] = ()
    max_images: int = Field(gt=0)
    """The most images one job may ask for."""
    max_area_ratio: float = Field(ge=1)
    """An image has at most so many times the pixels of the square one of its last stage."""
    max_aspect_ratio: float = Field(ge=1)
    """Width is at most so many times the height, and height so many times the width."""


class StagePlace(Record):
    """Where a worker runs a stage, and how fast."""

    device: str
    """As torch names it: cuda:0, cpu."""
    dtype: str
    """Of the weights: bfloat16, float32, int8."""
    rows: int | None = Field(default=None, gt=0)
    """Of one forward: what a step of this worker holds. None at the text stage."""
    row_ms: float | None = Field(default=None, ge=0)
    """What one of so many rows took when the worker started; None where none was timed."""


class WorkerCard(Record):
    """A living worker, with its stages by name."""

    contract: int = CONTRACT
    name: str
    stages: dict[str, StagePlace]
    """None of one whose contract is not understood here: it draws for others."""

    @classmethod
    def read(cls, shown: str | bytes) -> Self:
        """The card as `publish_worker` shows it.

        Raises: ValidationError.
        """
        headline = _Headline.model_validate_json(shown)
        if is_understood(headline.contract):
            return cls.model_validate_json(shown)
        return cls(contract=headline.contract, name=headline.name, stages={})


class _Headline(BaseModel):
    """What the worker's card says in every version."""

    contract: int = 1
    name: str


def publish(redis: "BlockingRedis", card: CascadeCard, lease_s: float) -> None:
    """Shows the card for `lease_s`; each heartbeat does it again, so the last worker takes it away.

    Blocking, since heartbeats have a thread of their own.
    Raises: QueueUnavailable.
    """
    with queue_errors():
        redis.set(keys.card(), card.model_dump_json(), px=round(lease_s * 1000))


def publish_worker(redis: "BlockingRedis", card: WorkerCard, lease_s: float) -> None:
    """Shows the worker's card for `lease_s`, in place of any that it showed before.

    Raises: QueueUnavailable.
    """
    show = redis.register_script(source("show_worker"))
    with queue_errors():
        show([], [card.name, round(lease_s * 1000), card.model_dump_json()])


def withdraw_worker(redis: "BlockingRedis", card: WorkerCard) -> None:
    """Takes away what `publish_worker` shows.

    Raises: QueueUnavailable.
    """
    with queue_errors():
        redis.zrem(keys.workers(), card.model_dump_json())


async def read(redis: "Redis") -> CascadeCard:
    """The card of the cascade that is being served.

    Raises: NoCard where no worker is alive, or none of this contract; QueueUnavailable.
    """
    with queue_errors():
        stored = await redis.get(keys.card())
    if stored is None:
        raise NoCard(_why_none(await read_workers(redis)))
    try:
        return CascadeCard.model_validate_json(stored)
    except ValidationError as error:
        raise NoCard(OTHER_VERSION) from error


async def read_workers(redis: "Redis") -> tuple[WorkerCard, ...]:
    """The cards of the living workers, by name; those of another contract without stages.

    Raises: NoCard where one is of another version; QueueUnavailable.
    """
    with queue_errors():
        async with redis.pipeline() as pipeline:
            pipeline.time()
            pipeline.zrange(keys.workers(), 0, -1, withscores=True)
            (seconds, microseconds), shown = await pipeline.execute()
    now_ms = seconds * 1000 + microseconds / 1000
    try:
        cards = [WorkerCard.read(card) for card, ends_ms in shown if ends_ms > now_ms]
    except ValidationError as error:
        raise NoCard(OTHER_VERSION) from error
    return tuple(sorted(cards, key=lambda card: card.name))


def _why_none(workers: tuple[WorkerCard, ...]) -> str:
    others = sorted({worker.contract for worker in workers} - {CONTRACT})
    if not others:
        return "no worker has published a cascade card; start one with `imagen worker`"
    older, newer = "start workers of this version", "upgrade this process"
    return (
        f"the workers speak contract {', '.join(map(str, others))} and this process {CONTRACT}: "
        f"{newer if others[-1] > CONTRACT else older}"
    )
