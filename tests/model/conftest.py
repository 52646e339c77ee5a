"""Fixtures of the model's tests."""

from pathlib import Path

import pytest

from tests.if_folders import write_cascade_file, write_if_stage_one, write_if_stage_two


@pytest.fixture(scope="session")
def if_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small stages of DeepFloyd IF, in folders one and two, and cascade.json that lists them."""
    folder = tmp_path_factory.mktemp("if")
    write_if_stage_one(folder / "one", with_safety=True)
    write_if_stage_two(folder / "two")
    return write_cascade_file(folder)
