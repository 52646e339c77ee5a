"""The app as a process starts it."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.main import app_from_environment


def test_the_api_needs_no_torch() -> None:
    code = "import sys, app.main; sys.exit('torch' in sys.modules or 'model' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_environment_is_read_when_the_app_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGEN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IMAGEN_PUBLIC_URL", "https://pictures.example")
    assert app_from_environment().title == "Imagen"
