"""Requests of many users: when each comes, and what it asks for. Knows no server."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

STEPS = (10, 50)
GUIDANCE_SCALE = (1.0, 9.0)
IMAGES = (1, 4)


@dataclass(frozen=True)
class Arrival:
    """at_s: since the load began. steps, guidance_scale: of every stage."""

    at_s: float
    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    n: int


def poisson_arrivals(
    requests: int, per_s: float, prompts: Sequence[str], seed: int = 0
) -> tuple[Arrival, ...]:
    """The same requests each time; another rate changes nothing but when they come."""
    return tuple(islice(endless_arrivals(per_s, prompts, seed), requests))


def endless_arrivals(per_s: float, prompts: Sequence[str], seed: int = 0) -> Iterator[Arrival]:
    """Those of `poisson_arrivals`, and so on."""
    rng = random.Random(seed)
    at_s = 0.0
    for number in count():
        at_s += rng.expovariate(1.0) / per_s
        yield Arrival(
            at_s=at_s,
            prompt=rng.choice(prompts),
            seed=10 * number,
            steps=rng.randint(*STEPS),
            guidance_scale=round(rng.uniform(*GUIDANCE_SCALE), 1),
            n=rng.randint(*IMAGES),
        )
