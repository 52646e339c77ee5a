"""The prompts that picture-book is measured with, always the same, each with its scene."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from model.picture_book.captions import caption
from model.picture_book.scenes import Count, Figure, Pair, Relation, Scale, Scene, Single, Subject
from model.picture_book.things import COLORS, GROUNDS, THINGS


@dataclass(frozen=True)
class Prompt:
    """What is asked for: in words, with a seed, and what the picture should show."""

    text: str
    seed: int
    scene: Scene
    category: str


def prompts() -> tuple[Prompt, ...]:
    """The forty: single things, things on a ground, pairs and counts."""
    return _said(_FORTY)


def prompts_by_category(per_category: int) -> tuple[Prompt, ...]:
    """As many of each category as wanted, drawn from the whole world."""
    rng = random.Random(20)
    return _said(tuple(draw(rng) for draw in _CATEGORIES for _ in range(per_category)))


def category(scene: Scene) -> str:
    """What a scene is a test of."""
    match scene.subject:
        case Single(scale=Scale.SMALL | Scale.BIG):
            return "small or big thing"
        case Single() if scene.ground is not None:
            return "thing on a ground"
        case Single(figure):
            return "painted thing" if figure.color else "thing"
        case Pair(relation=relation):
            return f"pair, {relation}"
        case Count(count=count):
            return f"{count} of a thing"


def _said(scenes: tuple[Scene, ...]) -> tuple[Prompt, ...]:
    rng = random.Random(40)
    return tuple(
        Prompt(caption(scene, rng), seed, scene, category(scene))
        for seed, scene in enumerate(scenes)
    )


def _figure(words: str) -> Figure:
    """As it is said: cat, ice cream or green cat."""
    color, _, name = words.partition(" ")
    return Figure(THINGS[name], color) if color in COLORS else Figure(THINGS[words])


def _one(words: str, ground: str | None = None, scale: Scale = Scale.NORMAL) -> Scene:
    return Scene(Single(_figure(words), scale), ground)


def _two(first: str, relation: Relation, second: str, ground: str | None = None) -> Scene:
    return Scene(Pair(_figure(first), relation, _figure(second)), ground)


def _several(count: int, words: str, ground: str | None = None) -> Scene:
    return Scene(Count(_figure(words), count), ground)


_FORTY = (
    _one("apple"),
    _one("cat"),
    _one("rocket"),
    _one("pizza"),
    _one("butterfly"),
    _one("castle"),
    _one("owl"),
    _one("sailboat"),
    _one("ice cream"),
    _one("green car"),
    _one("purple fish"),
    _one("blue mushroom"),
    _one("pink elephant"),
    _one("snail", scale=Scale.SMALL),
    _one("yellow star", scale=Scale.SMALL),
    _one("bear", scale=Scale.BIG),
    _one("red apple", "blue"),
    _one("penguin", "pink"),
    _one("tree", "orange"),
    _one("ghost", "purple"),
    _one("moon", "black"),
    _one("cactus", "yellow"),
    _one("teal robot", "red"),
    _one("umbrella", "gray"),
    _two("cat", Relation.NEXT_TO, "dog"),
    _two("cup", Relation.NEXT_TO, "donut", "teal"),
    _two("heart", Relation.LEFT_OF, "star", "black"),
    _two("banana", Relation.LEFT_OF, "pear"),
    _two("rabbit", Relation.RIGHT_OF, "carrot", "green"),
    _two("blue bell", Relation.RIGHT_OF, "gift"),
    _two("sun", Relation.ABOVE, "house"),
    _two("airplane", Relation.ABOVE, "whale", "white"),
    _two("fish", Relation.BELOW, "duck"),
    _two("key", Relation.BELOW, "purple hat", "brown"),
    _several(2, "cat"),
    _several(2, "orange balloon", "blue"),
    _several(3, "star", "black"),
    _several(3, "green frog"),
    _several(4, "apple"),
    _several(4, "white flower", "purple"),
)


def _random_figure(rng: random.Random, besides: Figure | None = None) -> Figure:
    things = [thing for thing in THINGS.values() if besides is None or thing != besides.thing]
    return Figure(rng.choice(things))


def _random_painted(rng: random.Random) -> Figure:
    thing = rng.choice(tuple(THINGS.values()))
    return Figure(thing, rng.choice([color for color in COLORS if color != thing.color]))


def _random_on_ground(rng: random.Random) -> Scene:
    figure = _random_figure(rng)
    grounds = [ground for ground in GROUNDS if ground != figure.color_name]
    return Scene(Single(figure), rng.choice(grounds))


def _random_scaled(rng: random.Random) -> Scene:
    return Scene(Single(_random_figure(rng), rng.choice((Scale.SMALL, Scale.BIG))))


def _random_pair(relation: Relation) -> Callable[[random.Random], Scene]:
    def draw(rng: random.Random) -> Scene:
        first = _random_figure(rng)
        return Scene(Pair(first, relation, _random_figure(rng, besides=first)))

    return draw


def _plain(subject: Callable[[random.Random], Subject]) -> Callable[[random.Random], Scene]:
    return lambda rng: Scene(subject(rng))


_CATEGORIES: tuple[Callable[[random.Random], Scene], ...] = (
    _plain(lambda rng: Single(_random_figure(rng))),
    _plain(lambda rng: Single(_random_painted(rng))),
    _random_scaled,
    _random_on_ground,
    *(_random_pair(relation) for relation in Relation),
    _plain(lambda rng: Count(_random_figure(rng), 2)),
    _plain(lambda rng: Count(_random_figure(rng), 3)),
    _plain(lambda rng: Count(_random_figure(rng), 4)),
)
