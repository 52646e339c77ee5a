"""`imagen serve` and `worker`: what a worker is told, and what it refuses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.commands.serve import worker_environment
from tests.app.commands.running import run
from tests.app.conftest import free_port
from workers.metrics import WorkerMetrics, serving


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


def test_a_port_for_metrics_that_is_taken_is_wrong_usage() -> None:
    """Or `imagen serve` would start the worker again and again."""
    port = free_port()
    with serving(WorkerMetrics(), "127.0.0.1", port):
        refused = run("worker", IMAGEN_METRICS_PORT=str(port))
    assert refused.exit_code == 2, refused.output
    assert "IMAGEN_METRICS_PORT" in refused.stderr


def test_a_worker_that_is_loading_takes_sigterm_itself(tmp_path: Path) -> None:
    """Process 1 of a container has no default action: it would load on."""
    os.mkfifo(tmp_path / "cascade.json")
    told = {**os.environ, "IMAGEN_CASCADE": str(tmp_path)}
    worker = subprocess.Popen([sys.executable, "-m", "app.cli", "worker"], env=told)
    try:
        with (tmp_path / "cascade.json").open("w"):  # open once the worker reads it
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 128 + signal.SIGTERM
    finally:
        worker.kill()
        worker.wait()
