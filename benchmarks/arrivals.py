"""Requests of many users: when each comes, and what it asks for. Knows no server."""

import random
from dataclasses import dataclass

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
    requests: int, per_s: float, prompts: tuple[str, ...], seed: int = 0
) -> tuple[Arrival, ...]:
    """The same requests each time; another rate changes nothing but when they come."""
    rng = random.Random(seed)
    at_s = 0.0
    arrivals = []
    for number in range(requests):
        at_s += rng.expovariate(1.0) / per_s
        arrivals.append(
            Arrival(
                at_s=at_s,
                prompt=rng.choice(prompts),
                seed=10 * number,
                steps=rng.randint(*STEPS),
                guidance_scale=round(rng.uniform(*GUIDANCE_SCALE), 1),
                n=rng.randint(*IMAGES),
            )
        )
    return tuple(arrivals)
