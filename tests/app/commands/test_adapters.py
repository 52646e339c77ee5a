"""`imagen generate --adapter`: here and by a service."""

import asyncio
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from app.settings import ApiSettings
from tests.adapters import write_adapted_cascade
from tests.app.commands.running import run
from tests.app.conftest import CARD, PlayedWorker, show
from workers.jobs.card import AdapterCard
from workers.jobs.job import JobParameters


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapted_cascade(tmp_path_factory.mktemp("adapted") / "cascade", tiny_cascade)


def generate(cascade: Path, output: Path, *options: str) -> Result:
    arguments = ("generate", "a red cat", "-o", str(output), "--seed", "7", *options)
    return run(*arguments, IMAGEN_CASCADE=str(cascade))


def test_adapters_are_of_the_picture_that_is_drawn_here(cascade: Path, tmp_path: Path) -> None:
    output = tmp_path / "cat.png"
    pictures = []
    for options in (
        (),
        ("--adapter", "ink=0"),
        ("--adapter", "ink"),
        ("--adapter", "ink=-0.5", "--adapter", "chalk=2"),
    ):
        done = generate(cascade, output, *options)
        assert done.exit_code == 0, done.output
        with Image.open(output) as picture:
            pictures.append(picture.tobytes())
            asked = JobParameters.model_validate_json(picture.info["parameters"])
    assert [stage.adapters for stage in asked.stages] == [{"ink": -0.5}, {"chalk": 2.0}]
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--adapter", "ink", "--adapter", "charcoal"),
            "--adapter, value 2, is no adapter of tiny: use",
        ),
        (
            ("--adapter", "ink=9"),
            '--adapter, value 1, has a scale that is too large: use "ink", "clay" or "chalk", once',
        ),
        (("--adapter", "ink=nan"), "--adapter ink=nan has no scale"),
        (("--adapter", "ink=much"), "--adapter ink=much has no scale: use ink, or ink=0.5"),
        (("--adapter", "chalk", "--size", "8"), "value 1, is of stage 16, which does not run"),
    ],
)
def test_what_cannot_be_used_is_wrong_usage(
    cascade: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    refused = generate(cascade, tmp_path / "cat.png", *options)
    assert refused.exit_code == 2, refused.output
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


async def test_a_service_is_asked_for_them_and_tells(
    url: str, worker: PlayedWorker, settings: ApiSettings, tmp_path: Path
) -> None:
    ink = AdapterCard(name="ink", stage="32")
    show(settings, CARD.model_copy(update={"adapters": (ink,)}))
    options = ("-o", str(tmp_path / "cat.png"), "--adapter", "ink=0.5", "--url", url, "--json")
    drawing = asyncio.to_thread(run, "generate", "a red cat", *options)
    done, _ = await asyncio.gather(drawing, worker.draw())
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["parameters"]["adapters"] == [{"name": "ink", "scale": 0.5}]
    shown = await asyncio.to_thread(run, "jobs", "show", told["job"], "--url", url)
    assert "adapters    ink at 0.5" in shown.stdout
