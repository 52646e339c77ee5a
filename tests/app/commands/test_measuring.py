"""`imagen load`, `bench` and `evaluate` are other programs, with help of their own."""

import sys

import pytest

from tests.app.commands.running import run


@pytest.mark.parametrize(
    ("command", "option"), [("load", "--clients"), ("evaluate", "--per-category")]
)
def test_help_is_the_programs_own(command: str, option: str) -> None:
    told = run(command, "--help")
    assert (told.exit_code, told.stderr) == (0, "")
    assert option in told.stdout
    assert f"usage: imagen {command} " in told.stdout


@pytest.mark.parametrize("command", ["load", "evaluate"])
def test_wrong_usage_is_theirs_too(command: str) -> None:
    refused = run(command, "--no-such-option")
    assert refused.exit_code == 2
    assert "unrecognized arguments: --no-such-option" in refused.stderr


@pytest.mark.parametrize(("command", "module"), [("load", "load"), ("bench", "__main__")])
def test_without_the_folder_the_remedy_is_told(
    command: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"benchmarks.{module}", None)
    failed = run(command)
    assert failed.exit_code == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith(f"imagen: `imagen {command}` needs the folder benchmarks/")
