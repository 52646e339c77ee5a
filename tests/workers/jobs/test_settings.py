"""Where settings come from."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from workers.jobs.settings import QueueSettings


def test_the_environment_is_read_when_settings_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEN_REDIS_URL", "redis://queue:6379/1")
    monkeypatch.setenv("IMAGEN_LEASE_S", "7.5")
    settings = QueueSettings()
    assert (settings.redis_url, settings.lease_s) == ("redis://queue:6379/1", 7.5)
    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_s = 8  # type: ignore[misc]


def test_the_data_folder_follows_the_xdg_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEN_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert QueueSettings().data_dir == Path("/data/imagen")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert QueueSettings().data_dir == Path("/home/someone/.local/share/imagen")
