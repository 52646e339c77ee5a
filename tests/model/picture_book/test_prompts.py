"""The measured prompts are always the same, and cover what they claim."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from model.picture_book import chinese, english
from model.picture_book.captions import Language
from model.picture_book.held_out import is_held_out
from model.picture_book.prompts import CATEGORIES, Prompt, category, prompts, prompts_by_category
from model.picture_book.scenes import Count, Pair, Relation, Scale, Single
from model.picture_book.things import CHINESE_COLORS, COLORS, GROUNDS, THINGS

ENGLISH, CHINESE = (prompts_by_category(20, language) for language in Language)
OWN_CATEGORY = ("held-out", "in unseen words")


def of(name: str) -> list[Prompt]:
    return [prompt for prompt in ENGLISH if prompt.category == name]


def test_the_fixed_ones_are_fixed_and_cover_every_kind() -> None:
    fixed = prompts()
    assert fixed == prompts()
    assert len({prompt.text for prompt in fixed}) == 48
    assert [prompt.seed for prompt in fixed] == list(range(48))
    subjects = [prompt.scene.subject for prompt in fixed]
    assert {type(subject) for subject in subjects} == {Single, Pair, Count}
    assert {each.relation for each in subjects if isinstance(each, Pair)} == set(Relation)
    assert not any(is_held_out(prompt.scene) for prompt in fixed)


def test_no_prompt_hides_its_thing() -> None:
    for prompt in (*prompts(), *ENGLISH):
        if prompt.scene.ground is not None:
            colors = {figure.color_name for figure in prompt.scene.subject.figures}
            assert prompt.scene.ground not in colors, prompt.text


def test_there_are_as_many_of_each_category() -> None:
    counts = Counter(prompt.category for prompt in ENGLISH)
    assert set(counts.values()) == {20}
    assert list(counts) == [each.name for each in CATEGORIES]
    assert {prompt.category for prompt in prompts()} <= set(counts)


def test_fewer_are_the_first_ones_of_more() -> None:
    few = prompts_by_category(3)
    assert len(few) == 3 * len(CATEGORIES)
    assert set(few) <= set(ENGLISH)


def test_no_two_prompts_begin_with_the_same_noise() -> None:
    assert len({prompt.seed for prompt in ENGLISH}) == len(ENGLISH)


def test_a_category_follows_from_the_scene_where_it_has_no_own() -> None:
    for prompt in ENGLISH:
        if not any(words in prompt.category for words in OWN_CATEGORY):
            assert prompt.category == category(prompt.scene)


def test_held_out_scenes_are_asked_for_in_their_own_categories_alone() -> None:
    assert {each.name for each in CATEGORIES if each.is_held_out} == {
        "held-out painted thing",
        "held-out pair",
        "held-out count of a painted thing",
    }
    for prompt in ENGLISH:
        assert is_held_out(prompt.scene) == prompt.category.startswith("held-out"), prompt


def test_the_same_is_asked_in_both_languages() -> None:
    for one, other in ((prompts(), prompts(Language.CHINESE)), (ENGLISH, CHINESE)):
        for in_english, in_chinese in zip(one, other, strict=True):
            assert in_english.scene == in_chinese.scene
            assert in_english.seed == in_chinese.seed
            assert in_english.category == in_chinese.category
            assert in_english.language == Language.ENGLISH
            assert in_chinese.language == Language.CHINESE
            assert in_english.text.isascii()
            assert not in_chinese.text.isascii()


@pytest.mark.parametrize("asked", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_unseen_words_are_in_their_own_categories_alone(asked: tuple[Prompt, ...]) -> None:
    for prompt in asked:
        wording = (english if prompt.language == Language.ENGLISH else chinese).UNSEEN
        match prompt.scene.subject:
            case Pair(relation=relation):
                phrases = wording.relations[relation]
            case _:
                phrases = wording.grounds
        is_unseen = any(is_said_by(phrase, prompt) for phrase in phrases)
        assert is_unseen == prompt.category.endswith("in unseen words"), prompt


def is_said_by(phrase: str, prompt: Prompt) -> bool:
    """Whether the prompt is the phrase, with its ground and with anything for its things."""
    ground = prompt.scene.ground_name
    if prompt.language == Language.CHINESE:
        ground = f"{CHINESE_COLORS[ground]}色"
    words = phrase.replace(" ,", ",").replace("{ground}", ground)
    between = re.split(r"\{\w+\}", words)
    return re.fullmatch(".+".join(map(re.escape, between)), prompt.text) is not None


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        ("thing", lambda each: each.scene.ground is None and not color(each)),
        ("painted thing", lambda each: color(each)),
        ("small or big thing", lambda each: each.scene.subject.scale != Scale.NORMAL),
        ("thing on a ground", lambda each: each.scene.ground in GROUNDS),
        ("held-out painted thing", lambda each: color(each)),
        ("ground in unseen words", lambda each: each.scene.ground in GROUNDS),
    ],
)
def test_a_category_of_one_thing_asks_for_it(name: str, is_so: Callable[[Prompt], bool]) -> None:
    assert all(isinstance(each.scene.subject, Single) and is_so(each) for each in of(name))


def color(prompt: Prompt) -> str | None:
    """That the first thing is asked for in, which is not its own."""
    figure = prompt.scene.subject.figures[0]
    return figure.color if figure.color != figure.thing.color else None


@pytest.mark.parametrize("relation", Relation)
def test_painted_pairs_ask_for_two_colors_and_now_and_then_for_a_ground(relation: Relation) -> None:
    asked = of(f"painted pair, {relation}")
    for each in asked:
        assert isinstance(each.scene.subject, Pair)
        assert each.scene.subject.relation == relation
        first, second = each.scene.subject.figures
        assert None not in (first.color, second.color)
        assert first.color != second.color
        assert first.thing != second.thing
    assert 4 <= sum(each.scene.ground is not None for each in asked) <= 16


def test_the_whole_world_is_asked_for() -> None:
    scenes = [prompt.scene for prompt in prompts_by_category(40)]
    figures = [figure for scene in scenes for figure in scene.subject.figures]
    assert {figure.thing.name for figure in figures} == set(THINGS)
    assert {figure.color for figure in figures} == {*COLORS, None}
    assert {scene.ground for scene in scenes} == {*GROUNDS, None}
