"""Worker settings from the environment."""

import pytest
from pydantic import ValidationError

from workers.settings import WorkerSettings


def test_stages_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEN_STAGES", "text, 64")
    assert WorkerSettings().stages == ("text", "64")


def test_all_stages_are_served_unless_told() -> None:
    assert WorkerSettings().stages is None


def test_no_threads_at_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEN_THREADS", "0")
    with pytest.raises(ValidationError, match="threads"):
        WorkerSettings()
