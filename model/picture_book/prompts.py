"""The prompts that picture-book is measured with, always the same, each with its scene."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from model.picture_book.captions import Language, caption
from model.picture_book.held_out import is_held_out
from model.picture_book.scenes import Count, Figure, Pair, Relation, Scale, Scene, Single
from model.picture_book.things import COLORS, GROUNDS, THINGS


@dataclass(frozen=True)
class Prompt:
    """What is asked for: in words, with a seed, and what the picture should show."""

    text: str
    seed: int
    scene: Scene
    category: str
    language: Language


def prompts(language: Language = Language.ENGLISH) -> tuple[Prompt, ...]:
    """The forty-eight: single things, things on a ground, pairs and counts."""
    return tuple(
        Prompt(_say(scene, seed, language), seed, scene, category(scene), language)
        for seed, scene in enumerate(_FORTY_EIGHT)
    )


def prompts_by_category(
    per_category: int, language: Language = Language.ENGLISH
) -> tuple[Prompt, ...]:
    """As many of each of CATEGORIES as wanted; fewer are the first ones of more.

    In another language the same scenes are asked for, with the same seeds.
    """
    return tuple(
        prompt
        for position, asked in enumerate(CATEGORIES)
        for prompt in _of_category(asked, _SEEDS_OF_A_CATEGORY * position, per_category, language)
    )


def category(scene: Scene) -> str:
    """What a scene is a test of, whatever training has seen and however it is said."""
    painted = any(figure.color for figure in scene.subject.figures)
    match scene.subject:
        case Single(scale=Scale.SMALL | Scale.BIG):
            return "small or big thing"
        case Single() if scene.ground is not None:
            return "thing on a ground"
        case Single():
            return "painted thing" if painted else "thing"
        case Pair(relation=relation):
            return f"painted pair, {relation}" if painted else f"pair, {relation}"
        case Count(count=count):
            return f"{count} of a painted thing" if painted else f"{count} of a thing"


@dataclass(frozen=True)
class Category:
    """A kind of prompt. Its scenes are all like ones that training shows, or all held out."""

    name: str
    draw: Callable[[random.Random], Scene]
    is_held_out: bool = False
    is_unseen: bool = False
    """Whether it is said in wording that training never shows."""


_SEEDS_OF_A_CATEGORY = 10_000


def _of_category(
    asked: Category, first_seed: int, count: int, language: Language
) -> Iterator[Prompt]:
    rng = random.Random(asked.name)
    for seed in range(first_seed, first_seed + count):
        scene = asked.draw(rng)
        while is_held_out(scene) != asked.is_held_out:
            scene = asked.draw(rng)
        text = _say(scene, seed, language, asked.is_unseen)
        yield Prompt(text, seed, scene, asked.name, language)


def _say(scene: Scene, seed: int, language: Language, unseen: bool = False) -> str:
    return caption(scene, random.Random(seed), language, unseen)


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


_FORTY_EIGHT = (
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
    _one("giraffe"),
    _one("pink dinosaur"),
    _one("snowman", "red"),
    _one("helicopter", scale=Scale.SMALL),
    _two("fox", Relation.NEXT_TO, "tent"),
    _two("teal bicycle", Relation.LEFT_OF, "orange teapot", "yellow"),
    _two("shark", Relation.BELOW, "jellyfish"),
    _several(3, "red cherry", "gray"),
)


def _natural(rng: random.Random) -> Figure:
    return Figure(rng.choice(tuple(THINGS.values())))


def _painted(rng: random.Random) -> Figure:
    thing = rng.choice(tuple(THINGS.values()))
    return Figure(thing, rng.choice([color for color in COLORS if color != thing.color]))


_RandomFigure = Callable[[random.Random], Figure]


def _single(figure: _RandomFigure, rng: random.Random) -> Scene:
    return Scene(Single(figure(rng)))


def _scaled(rng: random.Random) -> Scene:
    return Scene(Single(_natural(rng), rng.choice((Scale.SMALL, Scale.BIG))))


def _on_ground(rng: random.Random) -> Scene:
    figure = _natural(rng)
    return Scene(Single(figure), _ground_for((figure,), rng))


def _pair(relation: Relation | None, rng: random.Random) -> Scene:
    """Two natural things; a relation of None is any."""
    first, second = _two_of(_natural, rng)
    return Scene(Pair(first, relation or rng.choice(tuple(Relation)), second))


def _painted_pair(relation: Relation, rng: random.Random) -> Scene:
    """Two things in two colours, on a named ground every other time."""
    first, second = _two_of(_painted, rng)
    return Scene(Pair(first, relation, second), _sometimes_ground((first, second), rng))


def _two_of(figure: _RandomFigure, rng: random.Random) -> tuple[Figure, Figure]:
    first, second = figure(rng), figure(rng)
    while second.thing == first.thing or (first.color and second.color == first.color):
        second = figure(rng)
    return first, second


def _count(count: int, rng: random.Random) -> Scene:
    return Scene(Count(_natural(rng), count))


def _painted_count(count: int | None, rng: random.Random) -> Scene:
    """Several in one colour, on a named ground every other time; a count of None is any."""
    figure = _painted(rng)
    subject = Count(figure, count or rng.choice((2, 3, 4)))
    return Scene(subject, _sometimes_ground((figure,), rng))


def _sometimes_ground(figures: tuple[Figure, ...], rng: random.Random) -> str | None:
    return _ground_for(figures, rng) if rng.random() < 0.5 else None


def _ground_for(figures: tuple[Figure, ...], rng: random.Random) -> str:
    taken = {figure.color_name for figure in figures}
    return rng.choice([ground for ground in GROUNDS if ground not in taken])


CATEGORIES = (
    Category("thing", partial(_single, _natural)),
    Category("painted thing", partial(_single, _painted)),
    Category("small or big thing", _scaled),
    Category("thing on a ground", _on_ground),
    *(Category(f"pair, {relation}", partial(_pair, relation)) for relation in Relation),
    *(
        Category(f"painted pair, {relation}", partial(_painted_pair, relation))
        for relation in Relation
    ),
    *(Category(f"{count} of a thing", partial(_count, count)) for count in (2, 3, 4)),
    *(
        Category(f"{count} of a painted thing", partial(_painted_count, count))
        for count in (2, 3, 4)
    ),
    Category("held-out painted thing", partial(_single, _painted), is_held_out=True),
    Category("held-out pair", partial(_pair, None), is_held_out=True),
    Category("held-out count of a painted thing", partial(_painted_count, None), is_held_out=True),
    Category("ground in unseen words", _on_ground, is_unseen=True),
    Category("pair in unseen words", partial(_pair, None), is_unseen=True),
)
"""In the manner of DrawBench (Saharia et al. 2022, app. C), as far as picture-book's world goes.

Each draws from the whole world, as people ask, but for held-out combinations, which have categories
of their own: so each rate says one thing.
"""
