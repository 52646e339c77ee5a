"""`imagen generate` without a service: pictures drawn in its own process."""

import json
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from tests.app.commands.running import imagen, run, start
from workers.jobs.job import JobParameters

PATIENCE_S = 60


def parameters_in(png: Path) -> JobParameters:
    with Image.open(png) as picture:
        return JobParameters.model_validate_json(picture.info["parameters"])


def generate(cascade: Path, output: Path, *options: str) -> Result:
    return run(*("generate", "a red cat", "-o", str(output), *options), IMAGEN_CASCADE=str(cascade))


def test_a_picture_without_a_server(tiny_cascade: Path, tmp_path: Path) -> None:
    output = tmp_path / "cat.png"
    arguments = ("generate", "a red cat", "-o", str(output), "--seed", "7", "--steps", "2")
    done = imagen(*arguments, IMAGEN_CASCADE=str(tiny_cascade))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 16 x 16 px, seed 7, ")
    with Image.open(output) as picture:
        assert picture.size == (16, 16)
    asked = parameters_in(output)
    assert (asked.prompt, asked.seed) == ("a red cat", 7)
    assert [(stage.steps, stage.sampler) for stage in asked.stages] == [(2, "dpmpp"), (2, "ddim")]


def test_a_picture_is_drawn_as_the_service_draws_it(tiny_cascade: Path, tmp_path: Path) -> None:
    """Options are fields of a request: one eta is for the stages whose sampler has one."""
    output = tmp_path / "cat.png"
    shape = ("--width", "24", "--height", "8", "--guidance-interval", "0.2:0.8")
    done = generate(tiny_cascade, output, "--eta", "0.5", *shape, "--steps", "300")
    assert done.exit_code == 0, done.output
    with Image.open(output) as picture:
        assert picture.size == (24, 8)
    stages = parameters_in(output).stages
    assert [(stage.width, stage.height) for stage in stages] == [(12, 4), (24, 8)]
    assert [stage.guidance_interval for stage in stages] == [(0.2, 0.8)] * 2
    assert [(stage.sampler, stage.eta) for stage in stages] == [("dpmpp", 0.0), ("ddim", 0.5)]


def test_what_of_the_prompts_is_not_read_is_told_on_stderr(
    tiny_cascade: Path, tmp_path: Path
) -> None:
    done = generate(tiny_cascade, tmp_path / "cat.png", "--negative", "an appel", "--json")
    assert done.exit_code == 0, done.output
    remedies = ("use one of its 5 words, which GET /model lists", "did you mean apple?")
    warnings = [
        f'negative_prompt: "{word}" means nothing to this cascade: {remedy}'
        for word, remedy in zip(("an", "appel"), remedies, strict=True)
    ]
    assert done.stderr.splitlines() == [f"imagen: {warning}" for warning in warnings]
    assert json.loads(done.stdout)["warnings"] == warnings


def test_a_stage_may_have_a_value_of_its_own(tiny_cascade: Path, tmp_path: Path) -> None:
    output = tmp_path / "cat.png"
    sampling = ("--steps", "4,", "--guidance-scale", "2.5,1", "--sampler", "ddim,ddpm")
    more = ("--guidance-interval", "0.1:0.9,0:1", "--eta", "0.5,", "--aug-level", "0.25")
    done = generate(tiny_cascade, output, *sampling, *more)
    assert done.exit_code == 0, done.output
    base, enlarging = parameters_in(output).stages
    assert (base.steps, base.guidance_scale, base.sampler, base.eta) == (4, 2.5, "ddim", 0.5)
    assert base.guidance_interval == (0.1, 0.9)
    assert (enlarging.steps, enlarging.guidance_scale, enlarging.sampler) == (2, 1.0, "ddpm")
    assert (enlarging.guidance_interval, enlarging.aug_level) == ((0.0, 1.0), 0.25)


def test_several_pictures_are_numbered(tiny_cascade: Path, tmp_path: Path) -> None:
    done = generate(tiny_cascade, tmp_path / "cat.png", "-n", "3", "--seed", "7", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [image["file"] for image in told["images"]] == [
        str(tmp_path / f"cat-{index}.png") for index in range(3)
    ]
    for seed, image in enumerate(told["images"], start=7):
        assert (image["seed"], image["width"], image["blocked_by"]) == (seed, 16, None)
        assert parameters_in(Path(image["file"])).seed == seed
    assert (told["parameters"]["n"], told["parameters"]["steps"]) == (3, [3, 2])


def test_a_file_is_named_after_its_prompt_and_seed(
    tiny_cascade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = {"IMAGEN_CASCADE": str(tiny_cascade), "IMAGEN_URL": ""}
    drawn = run("generate", "A red/cat!", "--seed", "7", **here)
    assert drawn.exit_code == 0, drawn.output
    assert [path.name for path in tmp_path.iterdir()] == ["a-red-cat-7.png"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--size", "12"), "--size is no size of tiny: use 8 or 16"),
        (("--width", "18"), "--width is no multiple of 4: use a multiple of 4 from 4 to 32"),
        (("--width", "0"), "--width is too small: use"),
        (("--seed", "-1"), "--seed is too small: use a whole number from 0 to 4294967295"),
        (("-n", "0"), "-n is too small: use a whole number from 1 to "),
        (("--steps", "0"), "--steps is too small: use a whole number from 1 to 999"),
        (("--steps", "5000"), "--steps is too large: use a whole number from 1 to 999"),
        (("--steps", "5,5000"), "--steps, value 2, is too large: use a whole number from 1 to 999"),
        (("--steps", "1,2,3"), "--steps is a list of 3 where 2 can be used"),
        (("--sampler", "euler"), "--sampler is no sampler that the cascade has: use "),
        (("--sampler", "ddpm", "--eta", "0.5"), "--eta has no stage to be used by: use a number"),
        (("--eta", "1.5"), "--eta is too large"),
        (("--guidance-interval", "0:1,0:1,0:1"), "use FROM:TO with"),
        (("--guidance-interval", "0.8:0.2"), "--guidance-interval 0.8:0.2 is no interval"),
        (("--aug-level", "nan"), "--aug-level nan is no number"),
        (("--cascade", "nowhere"), "nowhere is missing"),
        (("--device", "abacus"), "--cascade or --device: "),
    ],
)
def test_what_the_cascade_cannot_do_is_wrong_usage(
    tiny_cascade: Path, tmp_path: Path, option: tuple[str, ...], told: str
) -> None:
    refused = generate(tiny_cascade, tmp_path / "cat.png", *option)
    assert refused.exit_code == 2, refused.output
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_ctrl_c_keeps_the_pictures_that_are_done(tiny_cascade: Path, tmp_path: Path) -> None:
    output = tmp_path / "cat.png"
    options = ("-n", "500", "--cascade", str(tiny_cascade))
    with start("generate", "a red cat", "-o", str(output), *options) as drawing:
        give_up_s = time.monotonic() + PATIENCE_S
        while not (tmp_path / "cat-1.png").exists() and time.monotonic() < give_up_s:
            time.sleep(0.02)  # what another process does has no event to wait for
        drawing.send_signal(signal.SIGINT)
        stdout, stderr = drawing.communicate(timeout=PATIENCE_S)
    assert (drawing.returncode, stderr) == (130, "")
    first, *_ = stdout.splitlines()
    assert first.startswith(f"{tmp_path / 'cat-0.png'}: 16 x 16 px")
    assert len(list(tmp_path.iterdir())) < 500
