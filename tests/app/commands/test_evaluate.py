"""`imagen evaluate`: what it prints, writes and refuses."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from model.picture_book import prompts
from tests.app.commands.running import run
from tests.model.evaluation.tiny_clip import write_tiny_clip
from tests.model.training.data.written import write_captioned


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for number, color in enumerate(("red", "green", "blue", "white", "black")):
        write_captioned(folder / f"{number}.png", f"a {color} cat", color)
    return folder


@pytest.fixture
def of_scenes(tiny_cascade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cascade that says to draw picture-book's scenes; of the fixed prompts two are left."""
    monkeypatch.setattr(prompts, "_FORTY_EIGHT", prompts._FORTY_EIGHT[:2])
    folder = shutil.copytree(tiny_cascade, tmp_path / "cascade")
    cascade = json.loads((folder / "cascade.json").read_text())
    (folder / "cascade.json").write_text(json.dumps(cascade | {"name": "picture-book-tiny"}))
    return folder


def test_a_cascade_is_held_against_captioned_pictures(tiny_cascade: Path, data: Path) -> None:
    told = run("evaluate", "--cascade", str(tiny_cascade), "--data", str(data), "--held-out", "0")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.startswith("## Held-out denoising loss\n")
    for name in ("8", "16"):
        assert f"Stage {name}, mean squared error of its v_prediction on 5 pictures:" in told.stdout
    assert "CLIP" not in told.stdout


def test_a_report_is_written_with_its_pictures(
    tiny_cascade: Path, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "report.md"
    asked = ["--cascade", str(tiny_cascade), "--device", "cpu", "--data", str(data)]
    asked += ["--held-out", "0.0", "--pictures", "3"]
    asked += ["--clip", str(write_tiny_clip(tmp_path / "clip")), "--report", str(file)]
    done = run("evaluate", *asked)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == f"{file} tells it all"
    written = file.read_text("utf-8")
    assert "| CLIP score of the held-out pictures | " in written
    assert f"\nimagen evaluate {' '.join(asked)}\n" in written
    pictures = sorted((tmp_path / "report").iterdir())
    assert [picture.name for picture in pictures] == ["1-0.png", "1-1.png", "1-2.png"]
    assert all(f"![](report/{picture.name})" in written for picture in pictures)
    with Image.open(pictures[1]) as picture:
        assert picture.size == (16, 16)
        assert picture.info["seed"] == "1"
        assert picture.info["prompt"].endswith(" cat")
    assert all(line in written for line in done.stdout.splitlines())


def test_a_cascade_of_scenes_is_judged_by_the_oracle(of_scenes: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    told = run("evaluate", "--cascade", str(of_scenes), "--sheet", str(sheet))
    assert (told.exit_code, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[0] == "## What the oracle sees"
    assert any(line.startswith("| **all** | 4 |") for line in lines)
    assert any(line.startswith("| single thing | 98 % | 4 |") for line in lines)
    wrong = [line for line in lines if line.startswith("wrong ")]
    assert wrong[0].endswith(f"{prompts.prompts()[0].text!r}, seed 0")
    with Image.open(sheet) as picture:
        assert picture.width == 4 * 24


def test_what_can_be_measured_of_a_cascade_of_scenes_is(of_scenes: Path, data: Path) -> None:
    told = run("evaluate", "--cascade", str(of_scenes), "--data", str(data))
    titles = [line for line in told.stdout.splitlines() if line.startswith("## ")]
    assert titles == ["## What the oracle sees", "## Held-out denoising loss"]


TINY = "--cascade {tiny}"
CHECKED = f"{TINY} --data {{data}} --held-out 0"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (TINY, "tiny is not picture-book, whose scenes an oracle knows: give captioned pictures"),
        ("--clip clip", "--clip is about captioned pictures: say where they are with --data"),
        ("--held-out 0", "--held-out is about captioned pictures"),
        (f"{CHECKED} --per-category 3", "--per-category is about picture-book, and this cascade"),
        (f"{CHECKED} --sheet a.png", "--sheet is about picture-book, and this cascade is tiny"),
        ("--report report.txt", "--report report.txt must end in .md"),
        ("--report no/report.md", "--report no/report.md: make the folder no first"),
        ("--sheet sheet.jpg", "--sheet sheet.jpg must end in .png"),
        (f"{TINY} --data no", "--data: no is no folder: give the path of a folder of pictures"),
        (f"{CHECKED} --clip no", "--clip: no: there is no such folder: give that of a CLIPModel"),
        (
            f"{CHECKED} --inception no",
            "--inception: no: no file of Inception's weights, or several",
        ),
        (f"{CHECKED} --device moon", "--cascade or --device: 'moon' is neither a device"),
        ("--cascade no", "--cascade: no is missing"),
        (f"{CHECKED} --pictures 1 --inception no", "--inception: FID takes two pictures or more"),
        ("--per-category 0", "Invalid value for '--per-category': Input should be greater"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(
    arguments: str, told: str, tiny_cascade: Path, data: Path
) -> None:
    words = [word.format(tiny=tiny_cascade, data=data) for word in arguments.split()]
    refused = run("evaluate", *words)
    assert (refused.exit_code, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"imagen: {told}")


def test_without_torchmetrics_the_remedy_is_told(
    tiny_cascade: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "model.evaluation.likeness", raising=False)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    asked = ("--cascade", str(tiny_cascade), "--data", str(data), "--clip", str(data))
    failed = run("evaluate", *asked)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.endswith("comes with `pip install 'imagen-server[train]'`\n")
