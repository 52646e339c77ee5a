"""Servers of a benchmark's own, whatever is set in the shell that starts it."""

import httpx
import pytest

from benchmarks.serving import serving_bare_api
from tests.app.conftest import free_port


def test_a_server_of_its_own_knows_none_of_the_shells_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those are of another service, whose queue and folder it must not touch."""
    for name, value in (
        ("IMAGEN_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0"),
        ("imagen_host", "203.0.113.1"),
        ("IMAGEN_MAX_QUEUED_IMAGES", "no number: nothing starts with this"),
    ):
        monkeypatch.setenv(name, value)
    with serving_bare_api() as url:
        accepted = httpx.post(f"{url}/generate", json={"prompt": "a cat"}, trust_env=False)
    assert accepted.status_code == 202
