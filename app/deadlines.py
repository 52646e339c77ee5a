"""Ends jobs when their deadline has passed, on time to the millisecond where it is known."""

import asyncio
import logging

from workers.jobs.errors import QueueUnavailable
from workers.jobs.ledger import Ledger

LONGEST_PAUSE_S = 1.0
"""A job may come with a deadline sooner than the next one known."""

log = logging.getLogger(__name__)


async def expire_for_ever(ledger: Ledger) -> None:
    """Any number of API processes may do this at once."""
    while True:
        next_s: float | None = None
        try:
            next_s = await ledger.expire()
        except QueueUnavailable as error:
            log.warning("deadlines wait: %s", error)
        except Exception:  # no one would start us again
            log.exception("deadlines wait")
        await asyncio.sleep(LONGEST_PAUSE_S if next_s is None else min(next_s, LONGEST_PAUSE_S))
