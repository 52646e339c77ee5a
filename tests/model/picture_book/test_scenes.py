"""Scenes keep their promises: what is placed stands where it was said, and can be seen."""

import random
from itertools import combinations

import numpy as np
import pytest

from model.picture_book.drawings import Placed
from model.picture_book.scenes import (
    Count,
    Figure,
    Pair,
    Relation,
    Scale,
    Scene,
    Single,
    random_scene,
)
from model.picture_book.things import GROUNDS, THINGS

CAT, DOG, GHOST = (Figure(THINGS[name]) for name in ("cat", "dog", "ghost"))
SEEDS = range(200)


def rgb(color: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(bytes.fromhex(color.removeprefix("#")), np.uint8)


def overlap(one: Placed, other: Placed) -> float:
    """How far two boxes reach into each other, in parts of the canvas; negative when apart."""
    reach = (one.side + other.side) / 2
    return min(reach - abs(one.x - other.x), reach - abs(one.y - other.y))


@pytest.mark.parametrize("seed", range(5))
def test_a_ground_never_bears_the_name_of_a_thing_on_it(seed: int) -> None:
    rng = random.Random(seed)
    for scene in (random_scene(rng) for _ in SEEDS):
        if scene.ground is not None:
            assert scene.ground not in {figure.color_name for figure in scene.subject.figures}


def test_a_ground_never_hides_a_thing() -> None:
    rng = random.Random(0)
    for scene in (random_scene(rng) for _ in range(5000)):
        ground = rgb(GROUNDS[scene.ground_name]).astype(float)
        for figure in scene.subject.figures:
            contrast = np.linalg.norm(rgb(figure.color_hex) - ground)
            assert contrast > 40, (figure, scene.ground_name)


def test_a_white_thing_goes_on_blue_without_saying() -> None:
    assert Scene(Single(GHOST)).ground_name == "blue"
    assert Scene(Single(CAT)).ground_name == "white"
    assert Scene(Single(GHOST), "black").ground_name == "black"


@pytest.mark.parametrize("relation", Relation)
def test_a_pair_stands_as_its_relation_says(relation: Relation) -> None:
    for seed in SEEDS:
        first, second = Scene(Pair(CAT, relation, DOG)).placed(random.Random(seed))
        right, down = second.x - first.x, second.y - first.y
        holds = {
            Relation.NEXT_TO: abs(right) > abs(down),
            Relation.LEFT_OF: right > abs(down),
            Relation.RIGHT_OF: -right > abs(down),
            Relation.ABOVE: down > abs(right),
            Relation.BELOW: -down > abs(right),
        }
        assert holds[relation]


def test_next_to_another_the_first_stands_on_the_left() -> None:
    scene = Scene(Pair(CAT, Relation.NEXT_TO, DOG))
    for seed in SEEDS:
        first, second = scene.placed(random.Random(seed))
        assert first.x < second.x


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_count_places_as_many_apart_from_each_other(count: int) -> None:
    for seed in SEEDS:
        placed = Scene(Count(CAT, count)).placed(random.Random(seed))
        assert len(placed) == count
        assert all(overlap(one, other) < 0.02 for one, other in combinations(placed, 2))


def test_sizes_do_not_meet() -> None:
    sides = {
        scale: [Scene(Single(CAT, scale)).placed(random.Random(seed))[0].side for seed in SEEDS]
        for scale in Scale
    }
    assert max(sides[Scale.SMALL]) < min(sides[Scale.NORMAL])
    assert max(sides[Scale.NORMAL]) < min(sides[Scale.BIG])


def test_a_drawing_is_a_function_of_scene_and_seed() -> None:
    scene = Scene(Pair(CAT, Relation.ABOVE, DOG), "pink")
    once, again = (scene.draw(random.Random(3), 32) for _ in range(2))
    assert once.shape == (32, 32, 3)
    assert once.dtype == np.uint8
    assert (once == again).all()
    assert (once != scene.draw(random.Random(4), 32)).any()


def test_the_world_holds_every_thing_relation_scale_count_and_ground() -> None:
    rng = random.Random(0)
    seen = [random_scene(rng) for _ in range(3000)]
    subjects = [scene.subject for scene in seen]
    assert {figure.thing.name for each in subjects for figure in each.figures} == set(THINGS)
    assert {each.relation for each in subjects if isinstance(each, Pair)} == set(Relation)
    assert {each.scale for each in subjects if isinstance(each, Single)} == set(Scale)
    assert {each.count for each in subjects if isinstance(each, Count)} == {2, 3, 4}
    assert {scene.ground for scene in seen} == {*GROUNDS, None}
