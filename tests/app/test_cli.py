"""`imagen`: help, wrong usage with its remedy, and a picture drawn without a server."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli import cli

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
    for command in ("serve", "api", "worker", "generate"):
        assert f" {command} " in told.stdout


@pytest.mark.parametrize("command", ["serve", "api", "worker", "generate"])
def test_every_option_is_explained(command: str) -> None:
    told = CliRunner().invoke(cli, [command, "--help"], env=WIDE)
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
        (["api", "--port", "65536"], "--port", "less than or equal to 65535"),
    ],
)
def test_wrong_usage_names_the_option(arguments: list[str], option: str, told: str) -> None:
    refused = CliRunner().invoke(cli, arguments, env=WIDE)
    assert refused.exit_code == 2
    assert option in refused.stderr
    assert told in refused.stderr


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


def test_a_picture_without_a_server(tiny_cascade: Path, tmp_path: Path) -> None:
    output = tmp_path / "cat.png"
    arguments = ("generate", "a red cat", "-o", str(output), "--seed", "7", "--steps", "2")
    done = imagen(*arguments, IMAGEN_CASCADE=str(tiny_cascade))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 16 px, seed 7, ")
    with Image.open(output) as picture:
        assert picture.size == (16, 16)
        parameters = json.loads(picture.info["parameters"])
    assert (parameters["prompt"], parameters["seed"]) == ("a red cat", 7)
    assert [stage["steps"] for stage in parameters["stages"]] == [2, 2]
    assert [stage["sampler"] for stage in parameters["stages"]] == ["dpmpp", "ddim"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--size", "12"), "size must be one of 8, 16 for tiny, not 12"),
        (("--steps", "5000"), "steps must be 1 to 1000, not 5000"),
        (("--sampler", "euler"), "sampler must be one of ddim, dpmpp, not 'euler'"),
        (("--device", "abacus"), "--device: abacus cannot be used"),
        (("--cascade", "nowhere"), "nowhere/cascade.json is missing"),
    ],
)
def test_what_the_cascade_cannot_do_is_wrong_usage(
    tiny_cascade: Path, tmp_path: Path, option: tuple[str, str], told: str
) -> None:
    arguments = ["generate", "a cat", "-o", str(tmp_path / "cat.png"), *option]
    refused = CliRunner().invoke(cli, arguments, env={**WIDE, "IMAGEN_CASCADE": str(tiny_cascade)})
    assert refused.exit_code == 2, refused.output
    assert told in refused.stderr
    assert not (tmp_path / "cat.png").exists()


def test_a_worker_refuses_a_stage_that_the_cascade_does_not_have(tiny_cascade: Path) -> None:
    arguments = ["worker", "--stages", "text,64", "--cascade", str(tiny_cascade)]
    refused = CliRunner().invoke(cli, arguments, env=WIDE)
    assert refused.exit_code == 2, refused.output
    assert "tiny has no stage 64; it has text, 8, 16" in refused.stderr
