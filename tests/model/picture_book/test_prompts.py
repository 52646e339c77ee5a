"""The measured prompts are always the same, and cover what they claim."""

from collections import Counter

from model.picture_book.prompts import category, prompts, prompts_by_category
from model.picture_book.scenes import Count, Pair, Relation, Single


def test_the_forty_are_fixed_and_cover_every_kind() -> None:
    forty = prompts()
    assert forty == prompts()
    assert len({prompt.text for prompt in forty}) == 40
    assert [prompt.seed for prompt in forty] == list(range(40))
    subjects = [prompt.scene.subject for prompt in forty]
    assert {type(subject) for subject in subjects} == {Single, Pair, Count}
    assert {each.relation for each in subjects if isinstance(each, Pair)} == set(Relation)


def test_no_prompt_hides_its_thing() -> None:
    for prompt in (*prompts(), *prompts_by_category(20)):
        if prompt.scene.ground is not None:
            colors = {figure.color_name for figure in prompt.scene.subject.figures}
            assert prompt.scene.ground not in colors, prompt.text


def test_the_larger_set_has_as_many_of_each_category() -> None:
    counts = Counter(prompt.category for prompt in prompts_by_category(3))
    assert set(counts.values()) == {3}
    assert set(counts) == {prompt.category for prompt in prompts()}


def test_a_category_follows_from_the_scene() -> None:
    assert all(prompt.category == category(prompt.scene) for prompt in prompts_by_category(2))
