"""IMAGEN_* for the API."""

import pytest
from pydantic import ValidationError

from app.settings import ApiSettings


def test_defaults_are_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "PUBLIC_URL", "MAX_WAIT_S"):
        monkeypatch.delenv(f"IMAGEN_{name}", raising=False)
    settings = ApiSettings()
    assert (settings.host, settings.port, settings.max_wait_s) == ("127.0.0.1", 8000, 60)
    assert settings.public_url is None
    assert settings.auth == "auto"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IMAGEN_PORT", "0"),
        ("IMAGEN_PORT", "65536"),
        ("IMAGEN_PORT", "http"),
        ("IMAGEN_PUBLIC_URL", "pictures.example"),
        ("IMAGEN_MAX_WAIT_S", "-1"),
        ("IMAGEN_AUTH", "off"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=variable.removeprefix("IMAGEN_").lower()):
        ApiSettings()
