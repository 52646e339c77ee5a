"""Delivers webhooks in the background of an API process: claims what is due, and posts it."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from types import TracebackType
from typing import Self

import httpx

from app.links import Links
from app.webhooks.address import AddressRefused, LookUp, ascii_host, look_up_in, resolve
from app.webhooks.event import JobEvent, message_id
from app.webhooks.post import post
from app.webhooks.signature import owner_secret
from workers.jobs.background import cancel
from workers.jobs.errors import QueueUnavailable
from workers.jobs.log_fields import about
from workers.jobs.outbox import Delivery, Outbox

MOST_AT_ONCE = 64
MOST_OF_OWNER = 16
"""So that targets that never answer hold up none but their owner's."""

LOOK_UPS_AT_ONCE = 8
"""In threads of their own: a name server that is silent holds up nothing else."""

ATTEMPT_S = 10.0
"""What an attempt may take in all, from the look at the name to the status of the answer."""

LONGEST_SLEEP_S = 5.0
"""No one tells us what another process has left undone."""

FINISH_S = 3.0
"""Attempts that are under way have so long when we stop; others make them again."""

GONE = 410

FAILURES = (AddressRefused, OSError, httpx.TransportError)
"""Reasons that are not ours; a TimeoutError is an OSError."""

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of an attempt."""

    DELIVERED = "delivered"
    UNWANTED = "unwanted"
    """The target says that it is gone."""
    REFUSED = "refused"
    """Another status than 2xx."""
    FAILED = "failed"
    """No answer, or no address that may be asked for one."""

    @property
    def is_last(self) -> bool:
        """Whether no other is needed."""
        return self in (Outcome.DELIVERED, Outcome.UNWANTED)


class Courier:
    """Use as an async context manager, one per process; `wake` it when a job has ended.

    allow_private: as in address.py. certificates: those that are trusted; None trusts the
    authorities that browsers do, or those in SSL_CERT_FILE. count: is told of each attempt.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        allow_private: bool,
        attempt_s: float = ATTEMPT_S,
        certificates: ssl.SSLContext | None = None,
        look_up: LookUp | None = None,
        count: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self._outbox = outbox
        self._allow_private = allow_private
        self._attempt_s = attempt_s
        self._threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, "look-up")
        self._look_up = look_up or look_up_in(self._threads)
        self._certificates = certificates or httpx.create_ssl_context()
        self._count = count
        self._woken = asyncio.Event()
        self._attempts: dict[asyncio.Task[None], Delivery] = {}
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._deliver_for_ever(), name="courier")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            await cancel([self._loop])
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=FINISH_S)
            await cancel(self._attempts)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    async def _deliver_for_ever(self) -> None:
        while True:
            self._woken.clear()
            try:
                idle_s = await self._start_what_is_due()
            except QueueUnavailable as error:
                log.warning("webhooks wait: %s", error)
                idle_s = LONGEST_SLEEP_S
            except Exception:  # no one would start us again
                log.exception("webhooks wait")
                idle_s = LONGEST_SLEEP_S
            await self._sleep(idle_s)

    async def _start_what_is_due(self) -> float:
        """Returns for how long nothing more can be done, unless we are woken."""
        free = MOST_AT_ONCE - len(self._attempts)
        under_way = list(self._attempts.values())
        for delivery in await self._outbox.claim(free, MOST_OF_OWNER, under_way) if free else ():
            attempt = asyncio.create_task(self._deliver(delivery))
            self._attempts[attempt] = delivery
            attempt.add_done_callback(self._ended)
        if len(self._attempts) == MOST_AT_ONCE:
            return LONGEST_SLEEP_S
        due_s = await self._outbox.next_due_s()
        return LONGEST_SLEEP_S if due_s is None else min(due_s, LONGEST_SLEEP_S)

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        del self._attempts[attempt]
        self.wake()

    async def _sleep(self, most_s: float) -> None:
        try:
            async with asyncio.timeout(most_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _deliver(self, delivery: Delivery) -> None:
        """One attempt, settled. One that cannot be settled is made again when its lease ends."""
        try:
            outcome = await self._attempt(delivery)
            self._count(outcome)
            settle = self._outbox.end if outcome.is_last else self._outbox.retry
            settled = await settle(delivery)
        except QueueUnavailable as error:
            log.warning("%s will be made again: %s", _name(delivery), error)
        else:
            if not settled:
                log.warning("%s took so long that another was made", _name(delivery))

    async def _attempt(self, delivery: Delivery) -> Outcome:
        service_secret = await self._outbox.service_secret()
        try:
            async with asyncio.timeout(self._attempt_s):
                status = await self._post(delivery, service_secret)
        except FAILURES as error:
            log.warning("%s failed: %.200r", _name(delivery), error, extra=about(delivery.job))
            return Outcome.FAILED
        except Exception:  # ours: it would be met again and again without the pauses
            log.exception("%s failed", _name(delivery), extra=about(delivery.job))
            return Outcome.FAILED
        log.info("%s: status %d", _name(delivery), status, extra=about(delivery.job))
        if status == GONE:
            return Outcome.UNWANTED
        return Outcome.DELIVERED if 200 <= status < 300 else Outcome.REFUSED

    async def _post(self, delivery: Delivery, service_secret: bytes) -> int:
        """The status of the answer."""
        job, webhook = delivery.job, delivery.webhook
        url = httpx.URL(webhook.url)
        part_s = self._attempt_s / 4  # looking up, connecting, shaking hands: they end in time
        async with asyncio.timeout(part_s):
            addresses = await resolve(url, allow_private=self._allow_private, look_up=self._look_up)
        body = JobEvent.of(job, Links(webhook.base)).model_dump_json().encode()
        signature = owner_secret(service_secret, job.owner).headers(
            message_id(job.id), round(time.time()), body
        )
        return await post(
            url,
            addresses[(delivery.attempt - 1) % len(addresses)],
            body,
            {"Content-Type": "application/json", "User-Agent": "imagen", **signature},
            self._certificates,
            connect_s=part_s,
        )


def _name(delivery: Delivery) -> str:
    """For the log. No path, no query: who knows them may be who may post there."""
    host = ascii_host(httpx.URL(delivery.webhook.url))
    return f"webhook of job {delivery.job.id} to {host}, attempt {delivery.attempt}"
