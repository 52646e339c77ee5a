"""One request of a load: asks, learns of its job's end, and tallies what became of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import httpx

from benchmarks.load.bodies import Body
from benchmarks.load.connections import Connections
from benchmarks.load.tally import Tally

Job = Mapping[str, Any]
"""As the service answers it."""

LearnEnd = Callable[[httpx.AsyncClient, Job, Tally], Awaitable[Job]]
"""From a job that was accepted to the same job, which has ended.

Raises: Unserved, httpx.TransportError.
"""

WAIT_S = 60
PAUSE_S = 1.0
"""After an error that does not say how long to wait: an error is no reason to ask faster."""


class Unserved(Exception):
    """A request that brought no pictures. The text is the kind of error."""

    def __init__(self, kind: str, pause_s: float = PAUSE_S) -> None:
        super().__init__(kind)
        self.pause_s = pause_s


@dataclass(frozen=True)
class Asker:
    """give_up_s: a job that has not ended so long after its request was due is an error."""

    connections: Connections
    learn_end: LearnEnd
    tally: Tally
    give_up_s: float

    async def ask(self, body: Body, due_s: float) -> float:
        """From the request to the end of its job. Raises nothing: errors are tallied, by kind.

        due_s: when it was to be sent, on the clock of perf_counter().
        Returns the s after which this client may ask again: 0 but after an error.
        """
        tally = self.tally
        tally.took("late", perf_counter() - due_s)
        tally.in_flight += 1
        try:
            job = await self._drawn(body, due_s)
        except Unserved as error:
            tally.error(str(error))
            return error.pause_s
        except asyncio.CancelledError:  # by Ctrl-C
            tally.error("interrupted")
            raise
        finally:
            tally.in_flight -= 1
        tally.took("whole", perf_counter() - due_s)
        tally.success(job)
        return 0.0

    async def _drawn(self, body: Body, due_s: float) -> Job:
        left_s = due_s + self.give_up_s - perf_counter()
        try:
            async with asyncio.timeout(left_s), self.connections.one() as client:
                job = await self.learn_end(client, await self._accepted(client, body), self.tally)
        except httpx.TransportError as error:
            raise Unserved(f"transport {type(error).__name__}") from error
        except TimeoutError as error:
            raise Unserved(f"no end within {self.give_up_s:g} s") from error
        if job["status"] != "succeeded":
            reason = "" if job["error"] is None else f": {job['error']['code']}"
            raise Unserved(f"job {job['status']}{reason}")
        return job

    async def _accepted(self, client: httpx.AsyncClient, body: Body) -> Job:
        sent_s = perf_counter()
        job = _answered(await client.post("/generate", json=body))
        self.tally.took("submit", perf_counter() - sent_s)
        return job


def by_waiting(poll_s: float) -> LearnEnd:
    """`Prefer: wait`, and again; poll_s apart where the service lets no one wait."""
    return _by_looking({"prefer": f"wait={WAIT_S}"}, poll_s, None)


def by_polling(poll_s: float) -> LearnEnd:
    """GET /jobs/{id} every poll_s."""
    return _by_looking({}, poll_s, "poll")


def _by_looking(headers: Mapping[str, str], poll_s: float, phase: str | None) -> LearnEnd:
    async def learn_end(client: httpx.AsyncClient, job: Job, tally: Tally) -> Job:
        while _lives(job):
            looked_s = perf_counter()
            job = _answered(await client.get(f"/jobs/{job['id']}", headers=headers))
            if phase is not None:
                tally.took(phase, perf_counter() - looked_s)
            if _lives(job):
                await asyncio.sleep(looked_s + poll_s - perf_counter())
        return job

    return learn_end


async def by_events(client: httpx.AsyncClient, job: Job, tally: Tally) -> Job:
    """Server-sent events, to the last of them."""
    event = ""
    path = f"/jobs/{job['id']}/events?previews=false"
    async with client.stream("GET", path) as answer:
        _check(answer)
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "end":
                job = json.loads(value)
    if _lives(job):
        raise Unserved("events broke off")
    return job


def _lives(job: Job) -> bool:
    return job["status"] in ("queued", "running")


def _answered(answer: httpx.Response) -> Job:
    _check(answer)
    job: Job = answer.json()
    return job


def _check(answer: httpx.Response) -> None:
    if not answer.is_success:
        retry_after = answer.headers.get("retry-after", "")  # may be a date, of a proxy's
        pause_s = float(retry_after) if retry_after.isdecimal() else PAUSE_S
        raise Unserved(f"status {answer.status_code}", pause_s)
