"""Clients as they should be: each sends a request again, under its key, until it is answered."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import cycle
from typing import Any

import httpx

from tests.chaos.faults import POISON
from workers.jobs.job import JobStatus

PAUSE_S = 0.1
"""Between two attempts. Shorter than what Retry-After asks for, so that faults find load."""

WAIT_S = 2
"""For a job, in one request."""

ANSWER_TIMEOUT_S = 20.0

PATIENCE_S = 60.0
"""After so long a job that has not ended is lost. Far more than any fault here costs."""

PROMPTS = ("a cat", "a dog", "a red apple")
SAMPLERS = ("ddpm", "dpmpp")


class Plan(StrEnum):
    """What a client does with its job."""

    WAIT = "wait"
    CANCEL = "cancel"
    DELETE = "delete"
    DEADLINE = "deadline"
    """Gives the service less time than it may need."""
    POISON = "poison"


class Trouble(Exception):
    """What no client should see: a job that is unknown or does not end, a request refused."""


@dataclass
class Story:
    """One request, and what became of it."""

    plan: Plan
    request: dict[str, Any]
    key: str
    """The request's Idempotency-Key, and the seed of what its client does by chance."""
    job_ids: set[str] = field(default_factory=set[str])
    """What the service calls it. More than one would be a request that was accepted twice."""
    end: dict[str, Any] | None = None
    """The first answer with a terminal status."""
    trouble: str = ""
    """Why there is no end."""

    @cached_property
    def rng(self) -> random.Random:
        return random.Random(self.key)

    @property
    def is_under_way(self) -> bool:
        return bool(self.job_ids) and self.end is None

    @property
    def job_id(self) -> str:
        return min(self.job_ids)


class Clients:
    """Any number of them, who share connections to APIs that are as good as each other."""

    def __init__(self, http: httpx.AsyncClient, urls: Iterable[str]) -> None:
        """urls: of the APIs."""
        self._http = http
        self._urls = cycle(urls)
        self.stories: list[Story] = []

    async def live(self, story: Story) -> Story:
        """From the request to the end of its job, or to trouble."""
        self.stories.append(story)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._submit(story)
                await self._meddle(story)
                story.end = await self._until_ended(story)
        except TimeoutError:
            story.trouble = f"it has not ended after {PATIENCE_S:g} s"
        except Trouble as error:
            story.trouble = str(error)
        return story

    async def submit(self, story: Story, **headers: str) -> dict[str, Any]:
        """The job; the same one where it was accepted before."""
        headers |= {"idempotency-key": story.key}
        job = await self.ask("POST", "/generate", json=story.request, headers=headers)
        story.job_ids.add(job["id"])
        return job

    async def job(self, story: Story) -> dict[str, Any]:
        """As it stands."""
        return await self.ask("GET", f"/jobs/{story.job_id}")

    async def picture(self, url: str) -> httpx.Response:
        """The answer with its PNG, or 404."""
        return await self._answer("GET", httpx.URL(url).path)

    async def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """The JSON that is answered, sooner or later.

        Raises: Trouble.
        """
        answer = await self._answer(method, path, **more)
        if not answer.is_success:
            raise Trouble(f"{method} {path}: {answer.status_code} {answer.text}")
        told: dict[str, Any] = answer.json()
        return told

    async def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        while True:
            try:
                answer = await self._http.request(method, next(self._urls) + path, **more)
            except httpx.TransportError:  # the API, or the connection, has died
                pass
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
            await asyncio.sleep(PAUSE_S)

    async def _submit(self, story: Story) -> None:
        """Once, waiting for the job or not, or twice at the same moment."""
        match story.rng.randrange(3):
            case 0:
                await self.submit(story)
            case 1:
                await self.submit(story, prefer=f"wait={WAIT_S}")
            case _:
                await asyncio.gather(self.submit(story), self.submit(story))

    async def _meddle(self, story: Story) -> None:
        if story.plan in (Plan.CANCEL, Plan.DELETE):
            await asyncio.sleep(story.rng.uniform(0, 1))  # until its client thinks again
            method, path = ("POST", "/cancel") if story.plan is Plan.CANCEL else ("DELETE", "")
            await self.ask(method, f"/jobs/{story.job_id}{path}")

    async def _until_ended(self, story: Story) -> dict[str, Any]:
        """Half of the clients wait for the answer, the others look again and again."""
        headers = {"prefer": f"wait={WAIT_S}"} if story.rng.random() < 0.5 else {}
        while True:
            job = await self.ask("GET", f"/jobs/{story.job_id}", headers=headers)
            if JobStatus(job["status"]).terminal:
                return job
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def open_clients(urls: Iterable[str]) -> AsyncGenerator[Clients]:
    """urls: of the APIs."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S, limits=limits, trust_env=False) as http:
        yield Clients(http, urls)


def any_story(plan: Plan, rng: random.Random, **fixed: Any) -> Story:
    """A request as chance has it; of few enough kinds that few references are needed.

    fixed: fields that are not left to chance.
    """
    request: dict[str, Any] = {
        "prompt": POISON if plan is Plan.POISON else rng.choice(PROMPTS),
        "size": rng.choice([8, 16, 16]),
        "n": 1 if plan is Plan.POISON else rng.randint(1, 3),
        "seed": rng.randrange(2),
        "sampler": rng.choice(SAMPLERS),
        "steps": 4,
    }
    if plan is Plan.DEADLINE:
        request["deadline_s"] = rng.uniform(0.05, 2)
    return Story(plan, {**request, **fixed}, key=f"{rng.getrandbits(64):016x}")
