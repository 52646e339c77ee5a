"""`imagen load` and `bench` are other programs, with help of their own."""

import sys

import pytest

from tests.app.commands.running import run


def test_help_is_the_programs_own() -> None:
    told = run("load", "--help")
    assert (told.exit_code, told.stderr) == (0, "")
    assert "--clients" in told.stdout
    assert "usage: imagen load " in told.stdout


def test_wrong_usage_is_theirs_too() -> None:
    refused = run("load", "--no-such-option")
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
