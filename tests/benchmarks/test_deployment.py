"""Processes that are waited for."""

import pytest

from benchmarks import deployment
from benchmarks.deployment import until_serving
from tests.app.conftest import free_port


def test_who_waits_for_no_process_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "READY_WITHIN_S", 0.0)
    with pytest.raises(RuntimeError, match="did not get ready"):
        until_serving(f"http://127.0.0.1:{free_port()}", [])
