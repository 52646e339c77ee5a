"""The cascade card: what the workers serve, told to an API that has neither torch nor weights."""

from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.errors import NoCard
from workers.jobs.job import Record

if TYPE_CHECKING:
    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis


class StageCard(Record):
    """One diffusion stage: its defaults and limits."""

    name: str
    """The size as a string; also names the stage's stream."""
    size: int = Field(gt=0)
    """Pixels a side of its output."""
    steps: int = Field(gt=0)
    max_steps: int = Field(gt=0)
    guidance_scale: float
    max_guidance_scale: float
    sampler: str
    samplers: tuple[str, ...] = Field(min_length=1)
    aug_level: float | None = Field(default=None, ge=0, le=1)
    """Default noise on the low-resolution input; None for the base stage."""


class CascadeCard(Record):
    """A served cascade: stages in order, base first."""

    name: str
    text_encoder: str
    """Content hash: two workers may share embeddings exactly when these are equal."""
    max_prompt_chars: int = Field(gt=0)
    max_prompt_tokens: int = Field(gt=0)
    """Where the text encoder cuts; the API has no tokenizer and enforces only the characters."""
    stages: tuple[StageCard, ...] = Field(min_length=1)
    max_images: int = Field(gt=0)
    """The most images one job may ask for."""


def publish(redis: "BlockingRedis", card: CascadeCard, lease_s: float) -> None:
    """Shows the card for `lease_s`; each heartbeat does it again, so the last worker takes it away.

    Blocking, since heartbeats have a thread of their own.
    Raises: QueueUnavailable.
    """
    with queue_errors():
        redis.set(keys.card(), card.model_dump_json(), px=round(lease_s * 1000))


async def read(redis: "Redis") -> CascadeCard:
    """The card of the cascade that is being served.

    Raises: NoCard where no worker is alive, or none of this version; QueueUnavailable.
    """
    with queue_errors():
        stored = await redis.get(keys.card())
    if stored is None:
        raise NoCard("no worker has published a cascade card; start one with `imagen worker`")
    try:
        return CascadeCard.model_validate_json(stored)
    except ValidationError as error:
        raise NoCard("the workers publish a card of another version of imagen") from error
