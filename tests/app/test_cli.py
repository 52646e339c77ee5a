"""`imagen`: the table of its commands, their help, and how whatever goes wrong is told."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.processes.embedded_queue import EmbeddedQueue
from model.samplers import Sampler
from tests.app.commands.running import imagen, run, start
from tests.app.conftest import free_port

GROUPS = ("", "jobs", "keys")
COMMANDS = (
    "serve",
    "api",
    "worker",
    "generate",
    "evaluate",
    "jobs list",
    "jobs show",
    "jobs watch",
    "jobs cancel",
    "jobs delete",
    "jobs download",
    "keys make",
    "keys list",
    "keys revoke",
)
SLOW = ("asyncio", "fastapi", "httpx", "pydantic", "redis", "torch", "transformers", "uvicorn")


def test_help_names_every_command() -> None:
    told = run("--help")
    assert told.exit_code == 0
    for command in ("serve", "api", "worker", "generate", "jobs", "keys"):
        assert f" {command} " in told.stdout
    for command in ("load", "bench", "evaluate"):
        assert f" {command} " in told.stdout


def test_help_tells_every_exit_status() -> None:
    told = run("--help").stdout
    for status in ("0 done", "1 failed", "2 wrong usage", "3 the service", "4 the job", "130 "):
        assert status in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    told = run(*command.split(), "--help")
    assert told.exit_code == 0
    for line in told.stdout.splitlines():
        if "--" in line and line.startswith("│"):
            assert line.rstrip(" │").endswith((".", "]")), line


@pytest.mark.parametrize("command", [*GROUPS, *COMMANDS])
def test_help_fits_a_terminal_of_80_columns(command: str) -> None:
    told = run(*command.split(), "--help", COLUMNS="80")
    assert told.exit_code == 0
    assert max(len(line) for line in told.stdout.splitlines()) <= 80
    assert "…" not in told.stdout  # what has no room


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    told = run(*command.split(), "--help").stdout
    examples = [line.strip() for line in told.splitlines() if line.strip().startswith("$ ")]
    assert any(f"imagen {command}" in example for example in examples)


def test_help_is_told_before_anything_slow_is_imported() -> None:
    loaded = (
        "import sys; from app.cli import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    told = subprocess.run(
        [sys.executable, "-c", loaded, "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage: imagen" in told.stdout
    assert set(told.stderr.split()).isdisjoint(SLOW)


def test_the_help_lists_the_samplers_there_are() -> None:
    told = run("generate", "--help").stdout
    (line,) = [line for line in told.splitlines() if "--sampler" in line]
    *names, last = line.partition("NAME")[2].rstrip(" .│").replace(" or ", ", ").split(", ")
    assert {*(name.strip() for name in names), last.strip()} == set(Sampler)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["draw"], "No such command 'draw'; see `imagen --help`"),
        (["generate"], "Missing argument 'PROMPT'; see `imagen generate --help`"),
        (["generate", "a cat", "--stpes", "3"], "No such option: --stpes"),
        (["generate", "a cat", "-n", "two"], "'-n': Input should be a valid integer"),
        (["generate", "a cat", "-o", "cat.jpg"], "--output cat.jpg must end in .png"),
        (["generate", "a cat", "-o", "a/cat.png"], "make the folder a first"),
        (["generate", "a cat", "--steps", "few"], "--steps few is no whole number: use 20, or"),
        (["generate", "a cat", "--no-wait"], "--no-wait is for a service: say which with --url"),
        (["generate", "a cat", "--priority", "top"], "'low', 'normal', 'high'"),
        (["generate", "a cat", "--url", "here:8000"], "--url here:8000 is no URL of a service"),
        (["jobs", "list", "--status", "done"], "'queued', 'running', 'succeeded'"),
        (["jobs", "list", "--key", "my key"], "--key (IMAGEN_API_KEY) has characters"),
        (
            ["jobs", "list", "--limit", "-1"],
            "'--limit': Input should be greater than or equal to 1",
        ),
        (["jobs", "show"], "Missing argument 'ID'; see `imagen jobs show --help`"),
        (["api", "--port", "65536"], "--port: Input should be less than or equal to 65535"),
        (["keys", "make", "Ann Lee"], "OWNER must be up to 64 of a-z, 0-9"),
        (["keys", "make", "ann", "--priority", "top"], "'low', 'normal', 'high'"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(arguments: list[str], told: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    assert line.startswith("imagen: ")
    assert told in line


@pytest.mark.parametrize("group", [(), ("jobs",), ("keys",)])
def test_without_a_command_help_is_shown(group: tuple[str, ...]) -> None:
    shown = run(*group)
    assert (shown.exit_code, shown.stderr) == (2, "")
    assert shown.stdout.rstrip() == run(*group, "--help").stdout.rstrip()


def test_a_wrong_variable_is_named() -> None:
    refused = run("api", IMAGEN_PORT="eighty")
    assert refused.exit_code == 2
    assert "imagen: IMAGEN_PORT: Input should be a valid integer" in refused.stderr


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
        with start("api", "--port", port, "--no-auth", **environment) as api:
            until_it_listens = httpx.HTTPTransport(retries=8)
            with httpx.Client(transport=until_it_listens) as client:
                answer = client.get(f"http://127.0.0.1:{port}/model")
            api.terminate()
            api.communicate()
    assert answer.json()["detail"] == "no worker is there to draw"
