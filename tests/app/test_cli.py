"""`imagen`: help, wrong usage with its remedy, and a picture drawn without a server."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli import cli, worker_environment
from app.embedded_queue import EmbeddedQueue
from model.samplers import Sampler
from tests.app.conftest import free_port
from workers.jobs.job import JobParameters

WIDE = {"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def imagen(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user has it, with its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **WIDE, **environment},
    )


def test_help_names_every_command() -> None:
    told = CliRunner().invoke(cli, ["--help"], env=WIDE)
    assert told.exit_code == 0
    for command in ("serve", "api", "worker", "generate", "keys"):
        assert f" {command} " in told.stdout


@pytest.mark.parametrize(
    "command", ["serve", "api", "worker", "generate", "keys make", "keys list", "keys revoke"]
)
def test_every_option_is_explained(command: str) -> None:
    told = CliRunner().invoke(cli, [*command.split(), "--help"], env=WIDE)
    assert told.exit_code == 0
    for line in told.stdout.splitlines():
        if "--" in line:
            assert line.rstrip(" │").endswith((".", "[required]")), line


CAT = ("generate", "a cat", "-o", "cat.png")


@pytest.mark.parametrize(
    ("arguments", "option", "told"),
    [
        (["generate", "a cat"], "--output", "Missing option"),
        (["generate", "a cat", "-o", "cat.jpg"], "--output", "cat.jpg must end in .png"),
        (["generate", "a cat", "-o", "a/cat.png"], "--output", "make the folder a first"),
        ([*CAT, "--seed", "-1"], "--seed", "greater than or equal to 0"),
        ([*CAT, "--steps", "0"], "--steps", "greater than or equal to 1"),
        ([*CAT, "--width", "0"], "--width", "greater than or equal to 1"),
        ([*CAT, "--eta", "1.5"], "--eta", "less than or equal to 1"),
        ([*CAT, "--guidance-interval", "0"], "--guidance-interval", "requires 2 arguments"),
        ([*CAT, "--guidance-interval", "0", "2"], "--guidance-interval", "less than or equal to 1"),
        (["api", "--port", "65536"], "--port", "less than or equal to 65535"),
        (["keys", "make", "Ann Lee"], "OWNER", "up to 64 of a-z, 0-9"),
        (["keys", "make", "ann", "--priority", "top"], "--priority", "'low', 'normal', 'high'"),
    ],
)
def test_wrong_usage_names_the_option(arguments: list[str], option: str, told: str) -> None:
    refused = CliRunner().invoke(cli, arguments, env=WIDE)
    assert refused.exit_code == 2
    assert option in refused.stderr
    assert told in refused.stderr


def test_the_help_lists_the_samplers_there_are() -> None:
    told = CliRunner().invoke(cli, ["generate", "--help"], env=WIDE).stdout
    (line,) = [line for line in told.splitlines() if "--sampler" in line]
    *names, last = line.partition("<str>")[2].partition("(")[0].replace(" or ", ", ").split(", ")
    assert {*(name.strip() for name in names), last.strip()} == set(Sampler)


def test_a_wrong_variable_is_named() -> None:
    refused = CliRunner().invoke(cli, ["api"], env={**WIDE, "IMAGEN_PORT": "eighty"})
    assert refused.exit_code == 2
    assert "IMAGEN_PORT: Input should be a valid integer" in refused.stderr


def test_a_failure_is_one_line_and_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for command in ("api", "serve"):
            failed = imagen(command, "--port", port)
            assert failed.returncode == 1
            assert failed.stderr.startswith(f"imagen: cannot listen on 127.0.0.1, port {port}:")
            assert len(failed.stderr.splitlines()) == 1


def test_other_machines_are_not_served_by_mistake(tmp_path: Path) -> None:
    reachable = ("--host", "0.0.0.0", "--port", str(free_port()))
    with EmbeddedQueue(tmp_path / "other") as queue:
        refused = [
            imagen("api", *reachable, IMAGEN_REDIS_URL=queue.url),
            imagen("serve", *reachable, IMAGEN_DATA_DIR=str(tmp_path)),
        ]
    for each in refused:
        assert each.returncode == 2
        *_, told = each.stderr.splitlines()
        assert told.startswith("imagen: other machines can reach 0.0.0.0, and there is no API key")
        assert "`imagen keys make NAME`" in told
        assert "--no-auth" in told
    with EmbeddedQueue(tmp_path):  # the one of `imagen serve` has ended with it
        pass


def test_no_auth_serves_without_a_key_though_there_is_one(tmp_path: Path) -> None:
    port = str(free_port())
    with EmbeddedQueue(tmp_path) as queue:
        environment = {"IMAGEN_REDIS_URL": queue.url}
        assert imagen("keys", "make", "ann", **environment).returncode == 0
        with subprocess.Popen(
            [sys.executable, "-m", "app.cli", "api", "--port", port, "--no-auth"],
            env={**os.environ, **environment},
        ) as api:
            until_it_listens = httpx.HTTPTransport(retries=8)
            with httpx.Client(transport=until_it_listens) as client:
                answer = client.get(f"http://127.0.0.1:{port}/model")
            api.terminate()
    assert answer.json()["detail"] == "no worker is there to draw"


def test_a_picture_without_a_server(tiny_cascade: Path, tmp_path: Path) -> None:
    output = tmp_path / "cat.png"
    arguments = ("generate", "a red cat", "-o", str(output), "--seed", "7", "--steps", "2")
    done = imagen(*arguments, IMAGEN_CASCADE=str(tiny_cascade))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 16 x 16 px, seed 7, ")
    with Image.open(output) as picture:
        assert picture.size == (16, 16)
        parameters = json.loads(picture.info["parameters"])
    assert (parameters["prompt"], parameters["seed"]) == ("a red cat", 7)
    assert [stage["steps"] for stage in parameters["stages"]] == [2, 2]
    assert [stage["sampler"] for stage in parameters["stages"]] == ["dpmpp", "ddim"]


def test_a_picture_is_drawn_as_the_service_draws_it(tiny_cascade: Path, tmp_path: Path) -> None:
    """Options are fields of a request: one eta is for the stages whose sampler has one."""
    output = tmp_path / "cat.png"
    shape = ("--width", "24", "--height", "8", "--guidance-interval", "0.2", "0.8")
    arguments = ["generate", "a cat", "-o", str(output), "--eta", "0.5", *shape, "--steps", "300"]
    done = CliRunner().invoke(cli, arguments, env={**WIDE, "IMAGEN_CASCADE": str(tiny_cascade)})
    assert done.exit_code == 0, done.output
    with Image.open(output) as picture:
        assert picture.size == (24, 8)
        parameters = JobParameters.model_validate_json(picture.info["parameters"])
    assert [(s.width, s.height) for s in parameters.stages] == [(12, 4), (24, 8)]
    assert [stage.guidance_interval for stage in parameters.stages] == [(0.2, 0.8)] * 2
    assert [(s.sampler, s.eta) for s in parameters.stages] == [("dpmpp", 0.0), ("ddim", 0.5)]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--size", "12"), "--size is no size of tiny: use 8 or 16"),
        (("--width", "18"), "--width is no multiple of 4: use a multiple of 4 from 4 to 32"),
        (("--steps", "5000"), "--steps is too large: use a whole number from 1 to 999 "),
        (("--sampler", "euler"), "--sampler is no sampler that the cascade has: use "),
        (("--sampler", "ddpm", "--eta", "0.5"), "--eta has no stage to be used by: use a number"),
        (("--guidance-interval", "0.5", "0.4"), "--guidance-interval is not a pair of times"),
        (("--negative", "a" * 2001), "--negative is 2001 characters long: use up to 2000"),
        (("--device", "abacus"), "'abacus' is neither a device"),
        (("--cascade", "nowhere"), "nowhere is missing"),
    ],
)
def test_what_the_cascade_cannot_do_is_wrong_usage(
    tiny_cascade: Path, tmp_path: Path, option: tuple[str, ...], told: str
) -> None:
    arguments = ["generate", "a cat", "-o", str(tmp_path / "cat.png"), *option]
    refused = CliRunner().invoke(cli, arguments, env={**WIDE, "IMAGEN_CASCADE": str(tiny_cascade)})
    assert refused.exit_code == 2, refused.output
    assert told in refused.stderr
    assert "a list of one for each stage" not in refused.stderr
    assert not (tmp_path / "cat.png").exists()


def test_a_worker_is_told_of_a_cascade_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path is one from here; what is no path, such as a hub id, is the worker's to look up."""
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    assert worker_environment("mine", "cpu") == {
        "IMAGEN_CASCADE": str(tmp_path / "mine"),
        "IMAGEN_DEVICE": "cpu",
    }
    hub = "DeepFloyd/IF-I-XL-v1.0"
    assert worker_environment(hub, None) == {"IMAGEN_CASCADE": hub}


def test_a_worker_refuses_a_stage_that_the_cascade_does_not_have(tiny_cascade: Path) -> None:
    arguments = ["worker", "--stages", "text,64", "--cascade", str(tiny_cascade)]
    refused = CliRunner().invoke(cli, arguments, env=WIDE)
    assert refused.exit_code == 2, refused.output
    assert "tiny has no stage 64; it has text, 8, 16" in refused.stderr
