"""How much waits, and who is there to do it: what an operator watches. Changes nothing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis

from workers.jobs.card import WorkerCard
from workers.jobs.connect import queue_errors
from workers.jobs.job import Record
from workers.jobs.scripts import source


class StageDepth(Record):
    """One stage, of all cascades that this queue has served."""

    stage: str
    ready: int = 0
    """Tasks that no worker has."""
    held: int = 0
    """Tasks that a worker has."""
    lag_s: float = 0.0
    """Since the stage last recorded a result of the job whose task is next, began on it, or since
    it came to the stage; 0 where none is ready."""
    workers: int = 0
    """Those who live and serve it."""
    rows: int = 0
    """Of the network's batch that their steps hold, all together; 0 at the text stage."""


class Depths(Record):
    """The queue at one moment."""

    images: int
    """Accepted and not done."""
    webhooks: int
    """Ended jobs whose webhook waits for delivery."""
    stages: tuple[StageDepth, ...]
    """By name."""


class DepthReader:
    """Measures a queue."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(source("depths"))

    async def read(self) -> Depths:
        """As they are now. It takes as long whether one job waits or a hundred thousand.

        Raises: QueueUnavailable.
        """
        with queue_errors():
            images, webhooks, rows, shown = await self._script([], [])
        return Depths(images=images, webhooks=webhooks, stages=_stages(rows, _readable(shown)))


def _readable(shown: Iterable[bytes]) -> list[WorkerCard]:
    """Without those of another version, who do not work for us."""
    cards: list[WorkerCard] = []
    for card in shown:
        with suppress(ValidationError):
            cards.append(WorkerCard.read(card))
    return cards


def _stages(rows: Sequence[Any], cards: Iterable[WorkerCard]) -> tuple[StageDepth, ...]:
    waiting = {
        name.decode(): {"ready": ready, "held": held, "lag_s": float(lag_s)}
        for name, ready, held, lag_s in rows
    }
    workers: Counter[str] = Counter()
    capacity: Counter[str] = Counter()
    for worker in cards:
        for name, place in worker.stages.items():
            workers[name] += 1
            capacity[name] += place.rows or 0
    return tuple(
        StageDepth.model_validate(
            {
                "stage": name,
                "workers": workers[name],
                "rows": capacity[name],
                **waiting.get(name, {}),
            }
        )
        for name in sorted({*waiting, *workers})
    )
