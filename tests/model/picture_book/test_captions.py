"""Captions say the scene, in English, in words that the tokenizer knows."""

import random
import re

import pytest

from model.picture_book.captions import caption, vocabulary
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
from model.picture_book.things import COLORS, GROUNDS, THINGS

APPLE, CAT, OWL = (Figure(THINGS[name]) for name in ("apple", "cat", "owl"))


def captions(scene: Scene) -> set[str]:
    return {caption(scene, random.Random(seed)) for seed in range(200)}


def test_every_word_of_any_caption_is_in_the_vocabulary() -> None:
    rng, known = random.Random(0), set(vocabulary())
    for _ in range(5000):
        said = caption(random_scene(rng), rng)
        assert set(said.replace(",", " , ").split()) <= known, said


def test_the_vocabulary_names_the_whole_world_once() -> None:
    words = vocabulary()
    assert words == sorted(set(words))
    names = [*THINGS, *(thing.plural for thing in THINGS.values()), *COLORS, *GROUNDS]
    assert {word for name in names for word in name.split()} <= set(words)


def test_articles_fit_the_word_that_follows() -> None:
    rng = random.Random(1)
    for _ in range(5000):
        said = caption(random_scene(rng), rng)
        assert not re.search(r"\ba [aeiou]", said), said
        assert not re.search(r"\ban [^aeiou]", said), said


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (Scene(Single(APPLE)), "an apple"),
        (Scene(Single(Figure(APPLE.thing, "green"))), "a green apple"),
        (Scene(Single(APPLE, Scale.SMALL)), "a small apple"),
        (Scene(Single(CAT), "orange"), "a cat on an orange background"),
        (Scene(Pair(CAT, Relation.LEFT_OF, OWL)), "a cat to the left of an owl"),
        (Scene(Pair(CAT, Relation.RIGHT_OF, OWL)), "a cat on the right and an owl on the left"),
        (Scene(Count(CAT, 3), "blue"), "three cats on blue"),
        (Scene(Count(Figure(CAT.thing, "pink"), 2)), "2 pink cats"),
    ],
)
def test_a_scene_is_said_like_this_among_other_ways(scene: Scene, said: str) -> None:
    assert said in captions(scene)
    assert len(captions(scene)) > 3


def test_a_ground_is_named_only_where_the_scene_names_one() -> None:
    assert not any("white" in said for said in captions(Scene(Single(CAT))))
    assert all("white" in said for said in captions(Scene(Single(CAT), "white")))
