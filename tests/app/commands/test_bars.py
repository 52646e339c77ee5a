"""What is shown on a terminal while pictures are drawn."""

import re
from pathlib import Path

import pytest

from tests.app.commands.running import run


@pytest.mark.parametrize(
    ("n", "shown"), [(1, "done"), (2, "picture 1, done"), (9, "9 of 9 pictures")]
)
def test_bars_are_on_stderr_alone(tiny_cascade: Path, tmp_path: Path, n: int, shown: str) -> None:
    output = str(tmp_path / "cat.png")
    arguments = ("generate", "a red cat", "-n", str(n), "--steps", "4,3", "-o", output)
    drawn = run(*arguments, IMAGEN_CASCADE=str(tiny_cascade), TTY_COMPATIBLE="1")
    assert drawn.exit_code == 0, drawn.output
    told = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.stderr)
    assert "loading torch and the cascade" in told
    assert shown in told
    total = 7 * n if n > 8 else 7
    assert f"{total}/{total}" in told
    assert len(drawn.stdout.splitlines()) == n
    assert "/7" not in drawn.stdout
