"""What a request may ask of the service, whatever the cascade: priority, deadline and webhook."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from app.orders.form import Refusal
from app.orders.request import MAX_DEADLINE_S, GenerateRequest
from app.webhooks import address
from workers.jobs.job import Priority

RISING = (Priority.LOW, Priority.NORMAL, Priority.HIGH)


@dataclass(frozen=True)
class Policy:
    """What one caller may ask for."""

    highest_priority: Priority = Priority.HIGH
    private_webhooks: bool = False
    most_images: int = sys.maxsize
    """Of one job: more would never find room within a quota."""

    def priority(self, request: GenerateRequest) -> Priority:
        """The one that is asked for, else the usual one."""
        if request.priority is not None:
            return Priority(request.priority)
        return min(Priority.NORMAL, self.highest_priority, key=RISING.index)

    def refusals(self, request: GenerateRequest) -> Iterator[Refusal]:
        """What this caller may not ask for."""
        if request.n > self.most_images:
            yield Refusal("n", None, "is more than may wait at once")
        if self.priority(request) not in self._allowed:
            yield Refusal("priority", None, "is higher than your key allows")
        if request.webhook is not None:
            problem = address.check_url(request.webhook, allow_private=self.private_webhooks)
            if problem is not None:
                yield Refusal("webhook", None, problem)

    def remedy(self, field: str) -> str:
        """What can be used in one of the three fields."""
        match field:
            case "priority":
                names = " or ".join(f'"{priority}"' for priority in self._allowed)
                return f"use {names}, or leave it out"
            case "deadline_s":
                return f"use a number of seconds, above 0 and up to {MAX_DEADLINE_S}"
            case _:
                return address.remedy(allow_private=self.private_webhooks)

    @property
    def _allowed(self) -> tuple[Priority, ...]:
        return RISING[: RISING.index(self.highest_priority) + 1]
