"""How much may wait: quotas, what is left of them, and what makes a request the same request."""

import sys

from pydantic import Field

from workers.jobs.errors import ImagenError
from workers.jobs.job import Record


class Quotas(Record):
    """The most images that may be accepted; None is no limit."""

    queued: int | None = Field(default=None, gt=0)
    """Accepted and not done, of all owners together."""
    owner_queued: int | None = Field(default=None, gt=0)
    """Accepted and not done, of one owner."""
    owner_per_minute: int | None = Field(default=None, gt=0)
    """Of one owner, who may have a minute's at once and then as they are earned."""

    @property
    def most_at_once(self) -> int:
        """The largest job that can ever be accepted."""
        return min(self.queued or sys.maxsize, self.owner_queued or sys.maxsize)


UNLIMITED = Quotas()


class Allowance(Record):
    """What an owner has left, in images; None where there is no quota."""

    queued_left: int | None = None
    per_minute_left: int | None = None
    per_minute_reset_s: float | None = None
    """Until a whole minute's are there again."""


class RequestKey(Record):
    """An Idempotency-Key, and a digest of the request that came with it."""

    key: str
    fingerprint: str = Field(pattern="^[0-9a-f]+$")


class QuotaExceeded(ImagenError):
    """No room for more images; nothing was accepted."""

    def __init__(self, quota: str, allowance: Allowance, wait_s: float | None) -> None:
        """quota: a field of Quotas. wait_s: until there is room, where that is known."""
        super().__init__(f"quota {quota} has no room")
        self.quota = quota
        self.allowance = allowance
        self.wait_s = wait_s
