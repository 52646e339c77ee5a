"""Fixtures that every test may use."""

from pathlib import Path

import pytest

from tests.tiny_cascade import write_tiny_cascade

pytest_plugins = ["tests.valkey"]


@pytest.fixture(scope="session")
def tiny_cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small untrained cascade with stages of 8 and 16 px."""
    return write_tiny_cascade(tmp_path_factory.mktemp("tiny"))
