"""What the requests of a load ask for."""

from itertools import islice
from typing import Any

from benchmarks.load.bodies import mixed, same

CARD: dict[str, Any] = {
    "max_images": 3,
    "stages": [
        {"size": 8, "max_steps": 40, "max_guidance_scale": 20.0},
        {"size": 16, "max_steps": 20, "max_guidance_scale": 5.0},
    ],
}


def test_a_mixture_fills_what_the_card_allows() -> None:
    bodies = list(islice(mixed(CARD, {}), 1000))
    assert {body["size"] for body in bodies} == {8, 16}
    assert {body["n"] for body in bodies} == {1, 2, 3}
    assert {body["steps"] for body in bodies} == set(range(10, 21))
    assert max(body["guidance_scale"] for body in bodies) == 5.0
    assert len({body["prompt"] for body in bodies}) > 300


def test_what_is_chosen_is_the_same_in_all_of_a_mixture() -> None:
    bodies = list(islice(mixed(CARD, {"n": 2, "sampler": "ddim"}), 50))
    assert {(body["n"], body["sampler"]) for body in bodies} == {(2, "ddim")}
    assert len({body["steps"] for body in bodies}) > 1


def test_the_same_mixture_comes_each_time() -> None:
    assert list(islice(mixed(CARD, {}), 20)) == list(islice(mixed(CARD, {}), 20))


def test_one_request_comes_again_and_again() -> None:
    assert list(islice(same({"prompt": "a cat"}), 3)) == [{"prompt": "a cat"}] * 3
