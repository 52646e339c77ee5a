"""What tokens are asked to say is what the drawn picture shows."""

import random

import pytest
import torch

from model.picture_book.captions import Language, caption
from model.picture_book.held_out import is_held_out
from model.picture_book.networks import new_text_encoder, new_tokenizer
from model.picture_book.reading import Captions, ReadingTask, Role, Said, SaidBatch, roles
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

CAT, BLUE_STAR = Figure(THINGS["cat"]), Figure(THINGS["star"], "blue")
NOT_A_NOUN = -100


@pytest.fixture(scope="module")
def task() -> ReadingTask:
    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    return ReadingTask(tokenizer, new_text_encoder(tokenizer))


@pytest.mark.parametrize("relation", Relation)
def test_the_roles_of_a_pair_are_where_its_things_are_drawn(relation: Relation) -> None:
    scene = Scene(Pair(CAT, relation, BLUE_STAR))
    part = roles(scene)
    for seed in range(50):
        placed = scene.placed(random.Random(seed))
        for figure, spot in zip(scene.subject.figures, placed, strict=True):
            is_there = {
                Role.LEFT: spot.x < 0.4,
                Role.RIGHT: spot.x > 0.6,
                Role.TOP: spot.y < 0.4,
                Role.BOTTOM: spot.y > 0.6,
            }
            assert is_there[part[figure]], (figure, spot)


@pytest.mark.parametrize("scale", Scale)
def test_the_role_of_one_thing_is_its_size(scale: Scale) -> None:
    assert roles(Scene(Single(CAT, scale))) == {CAT: Role(scale.value)}


@pytest.mark.parametrize(("count", "role"), [(2, Role.TWO), (3, Role.THREE), (4, Role.FOUR)])
def test_the_role_of_several_is_how_many_there_are(count: int, role: Role) -> None:
    assert roles(Scene(Count(BLUE_STAR, count))) == {BLUE_STAR: role}


@pytest.mark.parametrize("unseen", [False, True], ids=["seen", "unseen"])
@pytest.mark.parametrize("language", Language)
def test_each_thing_is_asked_of_one_token(
    task: ReadingTask, language: Language, unseen: bool
) -> None:
    rng = random.Random(0)
    scenes = [random_scene(rng) for _ in range(500)]
    right = task.right([Said(scene, caption(scene, rng, language, unseen)) for scene in scenes])
    for row, scene in enumerate(scenes):
        parts = roles(scene)
        expected = sorted(
            (list(Role).index(role), list(COLORS).index(figure.color_name))
            for figure, role in parts.items()
        )
        asked = right.role[row] != NOT_A_NOUN
        assert torch.equal(asked, right.color[row] != NOT_A_NOUN)
        answers = zip(
            right.role[row][asked].tolist(), right.color[row][asked].tolist(), strict=True
        )
        assert sorted(answers) == expected, scene
        assert right.ground[row] == list(GROUNDS).index(scene.ground_name)


def test_each_noun_answers_for_its_own_thing(task: ReadingTask) -> None:
    scene = Scene(Pair(Figure(CAT.thing, "red"), Relation.RIGHT_OF, BLUE_STAR), "pink")
    said = [
        Said(scene, "a blue star on the left , a red cat on the right on a pink background"),
        Said(scene, "一颗蓝色的星星的右边有一只红猫,粉色背景"),
    ]
    right = task.right(said)
    for row in range(len(said)):
        (star, cat) = (right.role[row] != NOT_A_NOUN).nonzero().flatten()
        assert right.role[row, star] == list(Role).index(Role.LEFT)
        assert right.role[row, cat] == list(Role).index(Role.RIGHT)
        assert right.color[row, star] == list(COLORS).index("blue")
        assert right.color[row, cat] == list(COLORS).index("red")


def test_answers_have_the_shapes_of_what_is_right(task: ReadingTask) -> None:
    batch = SaidBatch(Captions(seed=0)[position] for position in range(5))
    answers, right = task.read(batch), task.right(batch)
    assert answers.role.shape == (*right.role.shape, len(Role))
    assert answers.color.shape == (*right.color.shape, len(COLORS))
    assert answers.ground.shape == (5, len(GROUNDS))


def test_captions_are_a_function_of_seed_and_position_and_none_is_held_out() -> None:
    said = [Captions(seed=0)[position] for position in range(200)]
    assert said == [Captions(seed=0)[position] for position in range(200)]
    assert len({each.caption for each in said}) > 190
    assert said[0] != Captions(seed=1)[0]
    assert not any(is_held_out(each.scene) for each in said)
