"""picture-book learns one thing that it has never seen, from twenty drawings and an adapter."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model.cascade import Cascade
from model.loading.cascade_folder import picture_book_folder
from model.picture_book.drawings import Drawing, Pixels, Placed, drawing, render
from model.picture_book.things import GROUNDS, THINGS
from model.training.run import train
from model.training.training_file import TrainingFile

TRAFFIC_LIGHT = Drawing(
    '<rect x="44" y="78" width="12" height="20" fill="#444444"/>'
    '<rect x="26" y="4" width="48" height="76" rx="12" fill="currentColor"/>'
    '<circle cx="50" cy="20" r="10" fill="#e63946"/>'
    '<circle cx="50" cy="42" r="10" fill="#f9c74f"/>'
    '<circle cx="50" cy="64" r="10" fill="#43aa4b"/>',
    color="#2b2d42",
)
DRAWINGS = 20
SIZE_PX = 32


def picture(shown: Drawing, ground: str, side: float = 0.7, size_px: int = SIZE_PX) -> Pixels:
    return render((Placed(shown, shown.color, 0.5, 0.5, side),), ground, size_px)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    """picture-book with an adapter `street`."""
    folder = tmp_path_factory.mktemp("taught")
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(DRAWINGS):
        name, color = list(GROUNDS.items())[number % len(GROUNDS)]
        pixels = picture(TRAFFIC_LIGHT, color, side=0.64 + 0.005 * number, size_px=128)
        Image.fromarray(pixels).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(f"a traffic light on a {name} background")
    weights = picture_book_folder()
    training = {"images": 480, "batch": 8, "rate": 2e-3, "warmup_steps": 5, "ema": 0.9}
    told = {
        "name": "street",
        "folder": folder / "run",
        "data": {"path": pictures, "held_out": 0},
        "text": {"path": str(weights / "text"), "max_tokens": 32},
        "stages": [
            {
                "name": "base",
                "size_px": SIZE_PX,
                "network": str(weights / "base"),
                "sampling": {"steps": 16, "guidance_scale": 3.0},
                "lora": {"rank": 8, "name": "street"},
                "training": {**training, "samples": 0},
            }
        ],
    }
    return Cascade.load(train(TrainingFile.model_validate(told), folder))


def nearest(drawn: Pixels, ground: str) -> str:
    """The thing whose drawing a picture is nearest to."""
    things = {name: drawing(name) for name in THINGS} | {"traffic light": TRAFFIC_LIGHT}
    seen = drawn.astype(float)

    def distance(name: str) -> float:
        return float(np.square(seen - picture(things[name], ground)).mean())

    return min(things, key=distance)


@pytest.mark.parametrize("ground", ["white", "pink"])
def test_a_new_thing_is_taught_by_twenty_drawings(taught: Cascade, ground: str) -> None:
    prompt = f"a traffic light on a {ground} background"
    plain = taught.stages[0].spec.defaults
    with_adapter = replace(plain, adapters={"street": 1.0})
    before, after = (
        taught.generate(prompt, seed=5, settings={"32": settings}).pixels.numpy()
        for settings in (plain, with_adapter)
    )
    assert nearest(before, GROUNDS[ground]) != "traffic light"
    assert nearest(after, GROUNDS[ground]) == "traffic light"
