"""English: articles, plurals, and the ways to say a scene."""

import random
import re

import pytest

from model.picture_book import english
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
from model.picture_book.things import THINGS

APPLE, CAT, OWL = (Figure(THINGS[name]) for name in ("apple", "cat", "owl"))
SHEEP, SNOWMAN = (Figure(THINGS[name]) for name in ("sheep", "snowman"))
WORDINGS = {"seen": english.SEEN, "unseen": english.UNSEEN}


def random_captions(wording: str) -> list[str]:
    rng = random.Random(0)
    return [english.say(random_scene(rng), WORDINGS[wording], rng) for _ in range(3000)]


@pytest.mark.parametrize("wording", WORDINGS)
def test_every_word_is_in_the_vocabulary(wording: str) -> None:
    known = english.vocabulary()
    for said in random_captions(wording):
        assert set(said.replace(",", " , ").split()) <= known, said


@pytest.mark.parametrize("wording", WORDINGS)
def test_articles_fit_the_word_that_follows(wording: str) -> None:
    for said in random_captions(wording):
        assert not re.search(r"\ba [aeiou]", said), said
        assert not re.search(r"\ban [^aeiou]", said), said


@pytest.mark.parametrize("wording", WORDINGS)
def test_words_are_apart_by_one_space_and_a_comma_follows_its_word(wording: str) -> None:
    for said in random_captions(wording):
        assert said == " ".join(said.split()), said
        assert " ," not in said, said
        assert not re.search(r",\S", said), said


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (Scene(Single(APPLE)), "an apple"),
        (Scene(Single(APPLE)), "apple"),
        (Scene(Single(APPLE)), "the apple"),
        (Scene(Single(Figure(APPLE.thing, "green"))), "a green apple"),
        (Scene(Single(APPLE, Scale.SMALL)), "a small apple"),
        (Scene(Single(CAT), "orange"), "a cat on an orange background"),
        (Scene(Pair(CAT, Relation.LEFT_OF, OWL)), "a cat to the left of an owl"),
        (Scene(Pair(CAT, Relation.RIGHT_OF, OWL)), "a cat on the right and an owl on the left"),
        (Scene(Count(CAT, 3), "blue"), "three cats on blue"),
        (Scene(Count(Figure(CAT.thing, "pink"), 2)), "2 pink cats"),
        (Scene(Count(SHEEP, 2)), "two sheep"),
        (Scene(Count(SNOWMAN, 4)), "four snowmen"),
    ],
)
def test_a_scene_is_said_like_this_among_other_ways(scene: Scene, said: str) -> None:
    ways = {english.say(scene, english.SEEN, random.Random(seed)) for seed in range(1000)}
    assert said in ways
    assert len(ways) > 3


def test_a_plural_is_never_made_where_one_thing_is_meant() -> None:
    rng = random.Random(0)
    plurals = {t.plural for t in THINGS.values()} - THINGS.keys()
    for thing in THINGS.values():
        words = set(english.say(Scene(Single(Figure(thing))), english.SEEN, rng).split())
        assert words.isdisjoint(plurals), words
