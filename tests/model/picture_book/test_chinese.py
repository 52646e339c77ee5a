"""Chinese: measure words, where colour and size stand, and words that can be told apart again."""

import random
import re

import pytest

from model.picture_book import chinese
from model.picture_book.scenes import Count, Figure, Pair, Relation, Scale, Scene, Single
from model.picture_book.things import CHINESE_COLORS, COLORS, GROUNDS, THINGS

CAT, DOG, CAR, ELEPHANT = (Figure(THINGS[name]) for name in ("cat", "dog", "car", "elephant"))
SEEDS = range(1500)


def ways(scene: Scene) -> set[str]:
    return {chinese.say(scene, chinese.SEEN, random.Random(seed)) for seed in SEEDS}


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (Scene(Single(CAT)), "一只猫"),
        (Scene(Single(CAT)), "猫"),
        (Scene(Single(CAT)), "画一只猫"),
        (Scene(Single(Figure(CAR.thing, "green"))), "一辆绿色的汽车"),
        (Scene(Single(Figure(CAR.thing, "green"), Scale.SMALL)), "一辆绿色的小汽车"),
        (Scene(Single(Figure(CAR.thing, "green"), Scale.BIG)), "一辆巨大的绿色汽车"),
        (Scene(Single(ELEPHANT, Scale.BIG)), "一头大大象"),
        (Scene(Single(CAT), "blue"), "一只猫,蓝色背景"),
        (Scene(Single(CAT), "blue"), "蓝色背景上的一只猫"),
        (Scene(Pair(CAT, Relation.LEFT_OF, DOG)), "一只猫在一条狗的左边"),
        (Scene(Pair(CAT, Relation.LEFT_OF, DOG)), "左边是一只猫,右边是一条狗"),
        (Scene(Pair(CAT, Relation.ABOVE, DOG)), "一条狗上面有一只猫"),
        (Scene(Count(CAT, 2)), "两只猫"),
        (Scene(Count(CAR, 3)), "三辆汽车"),
        (Scene(Count(CAT, 4)), "4个猫"),
    ],
)
def test_a_scene_is_said_like_this_among_other_ways(scene: Scene, said: str) -> None:
    assert said in ways(scene)


@pytest.mark.parametrize("name", THINGS)
def test_a_number_is_followed_by_the_measure_of_its_thing_or_by_the_common_one(name: str) -> None:
    thing = THINGS[name]
    said = ways(Scene(Count(Figure(thing, "red"), 3)))
    measures = {found[1] for each in said if (found := re.search("[三3](.)红", each))}
    assert measures == {thing.measure, "个"}
    assert not any(re.search("[二]", each) for each in said)


def test_two_of_a_thing_are_never_said_with_the_other_word_for_two() -> None:
    assert all("两" in said or "2" in said for said in ways(Scene(Count(CAT, 2))))


def test_nothing_is_drawn_twice() -> None:
    """画 is both to draw and a picture."""
    assert not any("画画" in said for said in ways(Scene(Single(CAT), "blue")))


def test_every_name_is_one_of_its_own() -> None:
    names = [thing.chinese for thing in THINGS.values()]
    assert len(set(names)) == len(names)
    assert set(CHINESE_COLORS) == set(COLORS) == set(GROUNDS)
    assert len(set(CHINESE_COLORS.values())) == len(CHINESE_COLORS)


def test_the_vocabulary_holds_words_and_not_phrases() -> None:
    words = chinese.vocabulary()
    assert {"旁边", "左边", "右侧", "上方", "背景", "图片", "的", ",", "一", "个"} <= words
    assert not any(mark in word for word in words for mark in "{} ")
    assert max(map(len, words)) == max(len(thing.chinese) for thing in THINGS.values())
