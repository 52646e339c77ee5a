"""Who raises the version in one place has to raise it in all."""

import re
import tomllib
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import ApiSettings

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("Dockerfile", r"^ARG VERSION=(.+)$"),
        ("deploy/kubernetes/base/api.yaml", r"image: imagen-api:(\S+)"),
        ("deploy/kubernetes/worker/worker.yaml", r"image: imagen-worker:(\S+)"),
        ("deploy/kubernetes/README.md", r"imagen-(?:api|worker):(\S+)"),
    ],
)
def test_files_are_of_the_packages_version(path: str, pattern: str) -> None:
    said = re.findall(pattern, (ROOT / path).read_text("utf-8"), re.MULTILINE)
    assert {*said} == {VERSION}


def test_the_api_says_the_packages_version(tmp_path: Path) -> None:
    assert create_app(ApiSettings(data_dir=tmp_path)).version == VERSION
