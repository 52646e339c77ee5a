"""Looks at a stage: the held-out error, sample grids, and what TensorBoard and log.jsonl keep."""

import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from model.training.data.examples import Batch, Example
from model.training.look import Look, held_out_error
from model.training.progress import Told
from model.training.randomness import Draws
from model.training.reports import Report
from model.training.tasks import Errors
from tests.model.training.regression import training

SIZE_PX = 8


class Noise(nn.Module):
    """Its errors are the noise that examples get, and a weight that is no error."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch, draws: Draws) -> Errors:
        plain = draws.normal(4).square().mean(dim=1) + batch.pictures.mean(dim=(1, 2, 3))
        return Errors(objective=plain * 100, plain=plain)


def examples(count: int) -> list[Example]:
    grays = [torch.full((3, SIZE_PX, SIZE_PX), number / 100) for number in range(count)]
    return [Example(gray, f"shade {number}") for number, gray in enumerate(grays)]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with Told("base", tmp_path) as told:
        yield told


def look(folder: Path, told: Told, held_out: Sequence[Example], exported: list[int]) -> Look:
    def sample(some: Sequence[Example]) -> Sequence[Tensor]:
        return [-each.picture for each in some]

    settings = training(samples=5)
    return Look(Noise(), held_out, settings, folder, told, sample, lambda: exported.append(1))


def scalars(folder: Path, name: str) -> dict[int, float]:
    read = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = read.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(name)}


def test_the_held_out_error_is_the_mean_of_all(tmp_path: Path) -> None:
    error = held_out_error(Noise(), examples(37), "no")
    assert error == held_out_error(Noise(), examples(37), "no")
    darker = [Example(each.picture - 0.5, each.caption) for each in examples(37)]
    assert held_out_error(Noise(), darker, "no") == pytest.approx(error - 0.5, abs=1e-5)
    noise = [
        Draws.of(1, range(at, min(at + 16, 37)), 16).normal(4).square().mean(dim=1)
        for at in (0, 16, 32)
    ]
    assert error == pytest.approx(float(torch.cat(noise).mean()) + 0.18, abs=1e-5)


def test_a_look_exports_draws_and_measures(tmp_path: Path, told: Told) -> None:
    exported: list[int] = []
    held_out = examples(7)
    error = look(tmp_path, told, held_out, exported).look(20)
    assert exported == [1]
    assert error == held_out_error(Noise(), held_out, "no")
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 20, "held_out": error}
    told.scalars.close()
    assert scalars(tmp_path, "held_out") == {20: pytest.approx(error)}
    with Image.open(tmp_path / "samples-20.png") as grid:
        assert grid.size == (4 * 2 * SIZE_PX, 2 * SIZE_PX)
        pixels = np.asarray(grid)
    row = pixels[0, ::SIZE_PX, 0].tolist()
    shades = [number / 100 for number in range(4)]
    expected = [round((sign * shade + 1) * 127.5) for shade in shades for sign in (1, -1)]
    assert row == expected
    assert (pixels[SIZE_PX:, 2 * SIZE_PX :] == 255).all()
    assert (tmp_path / "samples.txt").read_text().split("\n")[1] == "shade 1"


def test_dropout_rests_while_it_looks(tmp_path: Path, told: Told) -> None:
    class Dropping(Noise):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.frozen = nn.Dropout(0.5), nn.Dropout(0.5).eval()

        def forward(self, batch: Batch, draws: Draws) -> Errors:
            dropped = self.dropout(torch.ones(len(batch), 100)).mean(dim=1)
            return Errors(objective=dropped, plain=dropped)

    task = Dropping()
    settings = training(samples=0)
    looking = Look(task, examples(20), settings, tmp_path, told, lambda some: [], lambda: None)
    assert looking.look(1) == pytest.approx(1.0)
    assert (task.dropout.training, task.frozen.training) == (True, False)


def test_where_nothing_is_held_out_it_only_exports(tmp_path: Path, told: Told) -> None:
    exported: list[int] = []
    assert look(tmp_path, told, [], exported).look(20) is None
    assert exported == [1]
    assert list(tmp_path.glob("*.png")) == []


def test_reports_are_told_and_kept(
    tmp_path: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(step=3, steps=10, batch=4, loss=0.5, error=0.25, rate=1e-3, images_per_s=14.0)
    look(tmp_path, told, [], []).report(report)
    told.scalars.close()
    for name in ("loss", "error", "rate", "images_per_s"):
        assert scalars(tmp_path, name) == {3: pytest.approx(getattr(report, name))}
    assert json.loads((tmp_path / "log.jsonl").read_text())["images_per_s"] == 14.0
    line = "base: step 3 of 10, loss 0.5000  14.0 images/s, 2 s left\n"
    assert capsys.readouterr().err == line


def test_what_is_prepared_is_told_ten_times(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    for done in range(0, 1001, 5):
        told.count(done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"base: {done} of 1000" for done in range(0, 1001, 100)]
