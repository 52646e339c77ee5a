"""`imagen serve` and `worker`: what a worker is told, and what it refuses."""

from pathlib import Path

import pytest

from app.commands.serve import worker_environment
from tests.app.commands.running import run


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
    refused = run("worker", "--stages", "text,64", "--cascade", str(tiny_cascade))
    assert refused.exit_code == 2, refused.output
    assert "tiny has no stage 64; it has text, 8, 16" in refused.stderr
