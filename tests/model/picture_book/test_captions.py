"""Captions say the scene, in words that are known; some wording is kept for afterwards."""

import random

import pytest

from model.picture_book import chinese, english
from model.picture_book.captions import Language, caption, vocabulary
from model.picture_book.phrases import Phrases
from model.picture_book.scenes import Count, Figure, Pair, Relation, Scene, Single, random_scene
from model.picture_book.things import COLORS, GROUNDS, THINGS

APPLE, CAT, OWL = (Figure(THINGS[name]) for name in ("apple", "cat", "owl"))
PAIRS = [Scene(Pair(CAT, relation, OWL)) for relation in Relation]
ON_GROUND = [
    Scene(Single(APPLE), "blue"),
    Scene(Count(CAT, 3), "gray"),
    Scene(PAIRS[0].subject, "red"),
]


def captions(scene: Scene, language: Language | None, unseen: bool = False) -> set[str]:
    return {caption(scene, random.Random(seed), language, unseen) for seed in range(400)}


def is_chinese(said: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in said)


def test_a_caption_is_in_the_language_that_is_wanted() -> None:
    rng = random.Random(0)
    for scene in (random_scene(rng) for _ in range(300)):
        assert not is_chinese(caption(scene, rng, Language.ENGLISH))
        said = caption(scene, rng, Language.CHINESE)
        assert is_chinese(said)
        assert not any("a" <= letter <= "z" for letter in said), said


def test_a_language_of_none_is_either() -> None:
    assert {is_chinese(said) for said in captions(Scene(Single(CAT)), None)} == {True, False}


def test_a_caption_is_a_function_of_its_scene_and_its_random_numbers() -> None:
    scene = Scene(Pair(CAT, Relation.ABOVE, OWL), "pink")
    assert caption(scene, random.Random(3)) == caption(scene, random.Random(3))
    assert len(captions(scene, Language.ENGLISH)) > 50
    assert len(captions(scene, Language.CHINESE)) > 50


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("scene", [*PAIRS, *ON_GROUND], ids=str)
def test_unseen_wording_is_never_said_in_training(scene: Scene, language: Language) -> None:
    unseen = captions(scene, language, unseen=True)
    assert len(unseen) > 1
    assert unseen.isdisjoint(captions(scene, language))


@pytest.mark.parametrize("language", Language)
def test_relations_and_grounds_are_told_apart(language: Language) -> None:
    """Two scenes that differ are never said in the same words."""
    said = [captions(scene, language) | captions(scene, language, unseen=True) for scene in PAIRS]
    turned = captions(Scene(Pair(OWL, Relation.RIGHT_OF, CAT)), language)
    for one in range(len(said)):
        for other in range(one):
            assert said[one].isdisjoint(said[other])
    assert said[0].isdisjoint(turned)


def test_the_vocabulary_is_sorted_and_names_the_whole_world_once() -> None:
    words = vocabulary()
    assert words == sorted(set(words))
    names = [*THINGS, *(thing.plural for thing in THINGS.values()), *COLORS, *GROUNDS]
    assert {word for name in names for word in name.split()} <= set(words)
    assert {thing.chinese for thing in THINGS.values()} <= set(words)
    assert {thing.measure for thing in THINGS.values()} <= set(words)


@pytest.mark.parametrize("language", Language)
def test_a_ground_is_named_only_where_the_scene_names_one(language: Language) -> None:
    words = {Language.ENGLISH: "white", Language.CHINESE: "白色"}
    assert not any(words[language] in said for said in captions(Scene(Single(CAT)), language))
    assert all(words[language] in said for said in captions(Scene(Single(CAT), "white"), language))


def test_both_languages_can_say_every_relation_in_seen_and_in_unseen_wording() -> None:
    for phrases in (english.SEEN, english.UNSEEN, chinese.SEEN, chinese.UNSEEN):
        assert set(phrases.relations) == set(Relation)
        assert_places(phrases)


def assert_places(phrases: Phrases) -> None:
    """Each phrase names what it speaks of, once."""
    for texts in phrases.relations.values():
        assert all(text.count("{a}") == text.count("{b}") == 1 for text in texts)
    assert all(text.count("{subject}") == 1 for text in (*phrases.openings, *phrases.grounds))
    assert all(text.count("{ground}") == 1 for text in phrases.grounds)


def test_no_phrase_is_both_seen_and_unseen() -> None:
    for seen, unseen in ((english.SEEN, english.UNSEEN), (chinese.SEEN, chinese.UNSEEN)):
        assert set(seen.grounds).isdisjoint(unseen.grounds)
        for relation in Relation:
            assert set(seen.relations[relation]).isdisjoint(unseen.relations[relation])
