"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.object_store", "tests.valkey"]

# Before torch is imported: the networks here are too small to gain from threads, and processes
# that share cores wait for each other at every barrier.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small untrained cascade with stages of 8 and 16 px."""
    from tests.tiny_cascade import write_tiny_cascade

    return write_tiny_cascade(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the settings that it makes, not those of the shell it runs in."""
    for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
        monkeypatch.delenv(name)
