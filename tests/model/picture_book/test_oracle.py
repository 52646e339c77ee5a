"""The oracle against truth: it must know what was drawn, and that nothing else was."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from model.picture_book.drawings import Pixels
from model.picture_book.oracle import judge
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
from model.picture_book.sight import look
from model.picture_book.things import COLORS, GROUNDS, THINGS
from tests.model.picture_book.degrade import degrade

SIZE_PX = 128
CAT, DOG, GHOST = (Figure(THINGS[name]) for name in ("cat", "dog", "ghost"))


def drawn(scene: Scene, seed: int = 0) -> Pixels:
    return scene.draw(random.Random(seed), SIZE_PX).copy()


def scenes(count: int) -> list[Scene]:
    return [random_scene(random.Random(seed)) for seed in range(count)]


def test_every_drawn_scene_is_right() -> None:
    wrong = [scene for scene in scenes(60) if not judge(drawn(scene), scene).right]
    assert wrong == []


def test_scenes_are_still_right_when_drawn_clumsily() -> None:
    judged = [judge(degrade(drawn(scene), seed=7), scene).right for scene in scenes(60)]
    assert sum(judged) >= 58


def test_every_thing_is_told_from_all_others_when_drawn_small_and_clumsily() -> None:
    mistaken = [
        name
        for seed, name in enumerate(THINGS)
        if not clumsily_right(Scene(Single(Figure(THINGS[name]), Scale.SMALL)), seed)
    ]
    assert len(mistaken) <= 1, mistaken


@pytest.mark.parametrize("color", ["orange", "black"])
def test_what_is_drawn_askew_is_not_taken_for_something_paler(color: str) -> None:
    """It overlaps less with any drawing, most of all where its lines are thin."""
    scene = Scene(Count(Figure(THINGS["guitar"], color), 4))
    judged = [
        judge(degrade(degrade(drawn(scene, seed), seed), seed + 100), scene).colors
        for seed in range(12)
    ]
    assert sum(judged) >= 9


def clumsily_right(scene: Scene, seed: int) -> bool:
    return judge(degrade(drawn(scene, seed), seed), scene).right


def other_thing(scene: Scene, rng: random.Random) -> Scene | None:
    taken = {figure.thing.name for figure in scene.subject.figures}
    thing = rng.choice([thing for name, thing in THINGS.items() if name not in taken])
    return with_first(scene, Figure(thing, scene.subject.figures[0].color_name))


def other_color(scene: Scene, rng: random.Random) -> Scene | None:
    taken = {figure.color_name for figure in scene.subject.figures} | {scene.ground_name}
    color = rng.choice([color for color in COLORS if color not in taken])
    return with_first(scene, Figure(scene.subject.figures[0].thing, color))


def other_ground(scene: Scene, rng: random.Random) -> Scene | None:
    taken = {figure.color_name for figure in scene.subject.figures} | {scene.ground_name}
    return Scene(scene.subject, rng.choice([name for name in GROUNDS if name not in taken]))


def other_count(scene: Scene, rng: random.Random) -> Scene | None:
    match scene.subject:
        case Count(figure, count):
            return Scene(Count(figure, 3 if count != 3 else rng.choice((2, 4))), scene.ground_name)
        case Single(figure):
            return Scene(Count(figure, 2), scene.ground_name)
        case Pair(first):
            return Scene(Single(first), scene.ground_name)


def other_relation(scene: Scene, rng: random.Random) -> Scene | None:
    match scene.subject:
        case Pair(first, Relation.NEXT_TO, second):
            relation = rng.choice((Relation.ABOVE, Relation.BELOW))
            return Scene(Pair(first, relation, second), scene.ground_name)
        case Pair(first, relation, second):
            return Scene(Pair(second, relation, first), scene.ground_name)
        case Single() | Count():
            return None


def with_first(scene: Scene, figure: Figure) -> Scene:
    """The scene on the same ground, its first figure (a count's only one) another."""
    match scene.subject:
        case Single(_, scale):
            return Scene(Single(figure, scale), scene.ground_name)
        case Pair(_, relation, second):
            return Scene(Pair(figure, relation, second), scene.ground_name)
        case Count(_, count):
            return Scene(Count(figure, count), scene.ground_name)


@pytest.mark.parametrize(
    ("change", "aspect"),
    [
        (other_thing, "things"),
        (other_color, "colors"),
        (other_ground, "ground"),
        (other_count, "count"),
        (other_relation, "placing"),
    ],
)
def test_another_scene_is_wrong_in_what_differs(
    change: Callable[[Scene, random.Random], Scene | None], aspect: str
) -> None:
    for scene in scenes(25):
        shown = change(scene, random.Random(1))
        if shown is not None:
            verdict = judge(degrade(drawn(shown), seed=3), scene)
            assert not getattr(verdict, aspect), (scene, shown)
            assert not verdict.right


def test_next_to_is_right_in_either_order() -> None:
    asked = Scene(Pair(CAT, Relation.NEXT_TO, DOG))
    for relation in (Relation.LEFT_OF, Relation.RIGHT_OF):
        assert judge(drawn(Scene(Pair(CAT, relation, DOG))), asked).right


def test_colors_belong_to_their_things() -> None:
    red_cat, blue_cat = (Figure(CAT.thing, color) for color in ("red", "blue"))
    red_dog, blue_dog = (Figure(DOG.thing, color) for color in ("red", "blue"))
    shown = Scene(Pair(red_cat, Relation.LEFT_OF, blue_dog))
    verdict = judge(drawn(shown), Scene(Pair(blue_cat, Relation.LEFT_OF, red_dog)))
    assert verdict.things
    assert verdict.placing
    assert not verdict.colors


@pytest.mark.parametrize(("asked", "shown"), [(Scale.SMALL, Scale.BIG), (Scale.BIG, Scale.SMALL)])
def test_a_named_size_must_be_met(asked: Scale, shown: Scale) -> None:
    verdict = judge(drawn(Scene(Single(CAT, shown))), Scene(Single(CAT, asked)))
    assert not verdict.size
    assert judge(drawn(Scene(Single(CAT, shown))), Scene(Single(CAT))).right


def test_the_ground_that_goes_without_saying_is_expected() -> None:
    assert judge(drawn(Scene(Single(GHOST), "blue")), Scene(Single(GHOST))).ground
    assert not judge(drawn(Scene(Single(CAT), "blue")), Scene(Single(CAT))).ground


def test_a_bare_ground_shows_nothing() -> None:
    bare = np.full((SIZE_PX, SIZE_PX, 3), (232, 80, 91), np.uint8)
    assert look(bare).ground == "red"
    assert look(bare).figures == ()
    verdict = judge(bare, Scene(Single(CAT), "red"))
    assert verdict.ground
    assert not any((verdict.count, verdict.things, verdict.colors, verdict.right))


def test_half_a_thing_and_noise_are_not_called_by_a_name() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    assert not judge(noise, Scene(Single(CAT))).things
    half = drawn(Scene(Single(CAT)))
    half[:, SIZE_PX // 2 :] = 255
    assert not judge(half, Scene(Single(CAT))).right


def test_a_speck_and_an_off_white_ground_are_forgiven() -> None:
    picture = drawn(Scene(Single(CAT)))
    picture[(picture == 255).all(axis=2)] = (241, 244, 239)
    picture[4:9, 4:9] = (20, 20, 20)
    assert judge(picture, Scene(Single(CAT))).right


@pytest.mark.parametrize("size_px", [32, 64, 512])
def test_any_size_can_be_judged(size_px: int) -> None:
    scene = Scene(Pair(CAT, Relation.ABOVE, DOG), "teal")
    assert judge(scene.draw(random.Random(0), size_px), scene).right
