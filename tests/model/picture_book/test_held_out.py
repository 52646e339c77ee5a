"""Some combinations are kept out of training, but none of what they are made of."""

import os
import random
import subprocess
import sys
from collections import Counter
from itertools import combinations

from model.picture_book.held_out import (
    is_held_out,
    is_held_out_figure,
    is_held_out_pair,
    training_scene,
)
from model.picture_book.scenes import Count, Figure, Pair, Relation, Scene, Single, random_scene
from model.picture_book.things import COLORS, THINGS

PAINTED = [
    Figure(thing, color) for thing in THINGS.values() for color in COLORS if color != thing.color
]
HELD_OUT = [figure for figure in PAINTED if is_held_out_figure(figure)]
PAIRS = list(combinations(THINGS.values(), 2))
HELD_OUT_PAIRS = [pair for pair in PAIRS if is_held_out_pair(*pair)]


def test_about_a_tenth_of_the_world_is_held_out() -> None:
    assert 0.08 < len(HELD_OUT) / len(PAINTED) < 0.12
    assert 0.08 < len(HELD_OUT_PAIRS) / len(PAIRS) < 0.12


def test_training_never_sees_what_is_held_out() -> None:
    rng = random.Random(0)
    for _ in range(5000):
        scene = training_scene(rng)
        assert not any(figure in HELD_OUT for figure in scene.subject.figures)
        match scene.subject:
            case Pair(first, _, second):
                assert (first.thing, second.thing) not in HELD_OUT_PAIRS
                assert (second.thing, first.thing) not in HELD_OUT_PAIRS


def test_a_scene_is_held_out_by_any_of_its_things_and_by_two_together() -> None:
    painted, (one, other) = HELD_OUT[0], HELD_OUT_PAIRS[0]
    cat = Figure(THINGS["cat"])
    assert is_held_out(Scene(Single(painted)))
    assert is_held_out(Scene(Count(painted, 3), "gray"))
    for relation in Relation:
        assert is_held_out(Scene(Pair(cat, relation, painted)))
        assert is_held_out(Scene(Pair(Figure(one), relation, Figure(other, other.color))))
        assert is_held_out(Scene(Pair(Figure(other), relation, Figure(one))))
    assert not is_held_out(Scene(Single(Figure(one))))


def test_a_thing_in_its_own_color_is_never_held_out() -> None:
    for thing in THINGS.values():
        assert not is_held_out_figure(Figure(thing))
        assert not is_held_out_figure(Figure(thing, thing.color))


def test_every_thing_and_every_color_is_seen_in_most_of_what_it_can_be() -> None:
    things = Counter(figure.thing.name for figure in HELD_OUT)
    colors = Counter(figure.color_name for figure in HELD_OUT)
    partners = Counter(thing.name for pair in HELD_OUT_PAIRS for thing in pair)
    assert max(things.values()) <= 5, "of eleven colours"
    assert max(colors.values()) <= 0.25 * len(THINGS)
    assert max(partners.values()) <= 0.25 * len(THINGS)


def test_training_sees_all_else_as_often_as_the_world_has_it() -> None:
    rng, other = random.Random(0), random.Random(0)
    seen = Counter(type(training_scene(rng).subject) for _ in range(5000))
    world = Counter(type(random_scene(other).subject) for _ in range(5000))
    # a pair has three chances to be held out, where a thing has one
    assert all(0.85 < seen[kind] / world[kind] < 1.1 for kind in (Single, Pair, Count))


def test_what_is_held_out_is_the_same_in_every_process() -> None:
    """Unlike what hash() says of words."""
    told = (
        "from tests.model.picture_book.test_held_out import HELD_OUT\n"
        "print(*(f'{each.thing.name} {each.color}' for each in HELD_OUT), sep=',')"
    )
    here = ",".join(f"{each.thing.name} {each.color}" for each in HELD_OUT)
    done = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == here
