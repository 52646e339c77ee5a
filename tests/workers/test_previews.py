"""Previews show what is predicted, to who watches, and cost a twentieth of the time."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from model.cascade import Cascade, to_pixels
from model.plan import StageSettings
from model.trajectory import TextCondition
from workers.engine import Admission, Flight, StageEngine
from workers.previews import PAUSE_S, PREVIEW_PX, SHARE, Preview, Previewer

LONG_S = 10 * PAUSE_S


class Clock:
    """Goes on when it is told to and, by `each_s`, whenever it is looked at."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.each_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.each_s
        return self.now_s


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


@pytest.fixture
def engine(cascade: Cascade) -> StageEngine:
    """Two images, a and b, that have taken a step."""
    text = TextCondition(*cascade.text.encode(["a cat", ""]))
    engine = StageEngine(cascade.stages[0], capacity=8)
    for seed, key in enumerate("ab"):
        engine.admit(Admission(key, seed, StageSettings(9, "ddim", 1.0), text))
    engine.step()
    return engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def previewer(engine: StageEngine, clock: Clock) -> Previewer:
    return Previewer(engine, clock)


def pixels(preview: Preview) -> Tensor:
    with Image.open(io.BytesIO(preview.png)) as image:
        assert image.format == "PNG"
        return torch.tensor(list(image.tobytes())).view(image.height, image.width, 3)


def keys(previews: list[Preview]) -> list[str]:
    return [preview.key for preview in previews]


def test_nothing_is_drawn_for_no_one(previewer: Previewer) -> None:
    assert previewer.draw() == []


def test_a_preview_is_the_image_as_predicted(engine: StageEngine, previewer: Previewer) -> None:
    previewer.watched = frozenset("b")
    (preview,) = previewer.draw()
    (flight,) = (each for each in engine.flights() if each.key == "b")
    assert (preview.key, preview.step, preview.steps) == ("b", 1, 9)
    assert torch.equal(pixels(preview), to_pixels(flight.x0))


def test_an_image_is_shown_again_after_a_pause(previewer: Previewer, clock: Clock) -> None:
    previewer.watched = frozenset("ab")
    assert keys(previewer.draw()) == ["a", "b"]
    clock.now_s += PAUSE_S / 2
    assert previewer.draw() == []
    clock.now_s += PAUSE_S / 2 + 1e-6
    assert keys(previewer.draw()) == ["a", "b"]


def test_images_take_turns_in_a_twentieth_of_the_time(previewer: Previewer, clock: Clock) -> None:
    previewer.watched = frozenset("ab")
    clock.each_s = 1.0  # so that a preview takes seconds
    began_s = clock.now_s
    shown: list[str] = []
    while len(shown) < 6:
        shown += keys(previewer.draw())
    assert shown == ["a", "b"] * 3
    seconds_each = 1.0
    assert clock.now_s - began_s > 5 * seconds_each / SHARE


def test_an_image_that_has_left_the_engine_is_not_shown(
    engine: StageEngine, previewer: Previewer
) -> None:
    previewer.watched = frozenset("ab")
    engine.cancel("a")
    engine.step()
    assert keys(previewer.draw()) == ["b"]


def show(monkeypatch: pytest.MonkeyPatch, previewer: Previewer, x0: Tensor) -> list[Preview]:
    """The previews of one image that is predicted so."""
    previewer.watched = frozenset("a")
    flights = [Flight("a", 1, 2, x0)]
    monkeypatch.setattr(StageEngine, "flights", lambda engine: flights)
    return previewer.draw()


def test_a_large_image_is_shown_small_and_in_proportion(
    monkeypatch: pytest.MonkeyPatch, previewer: Previewer
) -> None:
    left, right = torch.full((3, 400, 100), -1.0), torch.full((3, 400, 100), 1.0)
    (preview,) = show(monkeypatch, previewer, torch.cat([left, right], dim=2))
    small = pixels(preview)
    assert small.shape == (PREVIEW_PX, PREVIEW_PX // 2, 3)
    assert (small[:, 0].unique().tolist(), small[:, -1].unique().tolist()) == ([0], [255])


def test_what_is_beyond_the_pixels_is_clipped_and_what_is_no_number_is_grey(
    monkeypatch: pytest.MonkeyPatch, previewer: Previewer
) -> None:
    x0 = torch.tensor([-7.0, 7.0, float("nan")]).expand(3, 1, 3)
    (preview,) = show(monkeypatch, previewer, x0)
    assert pixels(preview)[0, :, 0].tolist() == [0, 255, 128]


def test_a_preview_that_cannot_be_drawn_is_left_out(
    monkeypatch: pytest.MonkeyPatch, previewer: Previewer
) -> None:
    assert show(monkeypatch, previewer, torch.zeros(3, 0, 0)) == []
