"""What the requests of a load ask for: always the same, or a mixture of all that may be asked."""

import random
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

from benchmarks.arrivals import endless_arrivals
from model.picture_book.things import COLORS, THINGS

Body = Mapping[str, Any]
"""As JSON, the body of a POST /generate."""

PROMPTS = tuple(f"a {color} {thing}" for color in COLORS if color != "orange" for thing in THINGS)


def same(body: Body) -> Iterator[Body]:
    """One request again and again; a seed that it leaves out is random each time."""
    return repeat(body)


def mixed(card: Mapping[str, Any], chosen: Body) -> Iterator[Body]:
    """Prompts, sizes, steps, guidance and numbers of pictures by turns, as far as the card allows.

    card: `cascade` of GET /model. chosen: fields that are the same in all of them.
    """
    rng = random.Random(0)
    stages = card["stages"]
    most_steps = min(stage["max_steps"] for stage in stages)
    most_guidance = min(stage["max_guidance_scale"] for stage in stages)
    for arrival in endless_arrivals(1.0, PROMPTS):
        yield {
            "prompt": arrival.prompt,
            "seed": arrival.seed,
            "size": rng.choice(stages)["size"],
            "n": min(arrival.n, card["max_images"]),
            "steps": min(arrival.steps, most_steps),
            "guidance_scale": min(arrival.guidance_scale, most_guidance),
            **chosen,
        }
