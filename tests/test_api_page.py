"""docs/api.md is true: its examples run, one after the other, and give the answers it shows."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import serving

PAGE = Path(__file__).parent.parent / "docs/api.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "---- the end of an example ----"
PRINTED_URL = "http://127.0.0.1:8000"

ANYTHING = "…"


def blocks() -> list[tuple[str, str]]:
    """Language and text of each block, as they come."""
    return BLOCK.findall(PAGE.read_text("utf-8"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of the service that `make serve` starts, with a data folder of its own."""
    with serving() as service:
        yield service.url


@pytest.fixture(scope="module")
def said(url: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each of the examples for a shell says, run in one shell."""
    examples = [text for language, text in blocks() if language == "sh"]
    script = "".join(f"{example}\necho; echo '{END}'\n" for example in examples)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(PRINTED_URL, url)],
        cwd=tmp_path_factory.mktemp("reader"),
        stdout=subprocess.PIPE,
        text=True,
        timeout=180,
        check=True,
    )
    *outputs, rest = done.stdout.split(END)
    assert len(outputs) == len(examples)
    assert not rest.strip()
    return outputs


def test_the_answers_are_as_shown(said: list[str]) -> None:
    outputs = iter(said)
    output = ""
    compared = 0
    for language, text in blocks():
        if language == "sh":
            output = next(outputs)
        elif language == "json":
            check(json.loads(text), json.loads(output), text)
            compared += 1
    assert compared > 8


def check(shown: Any, given: Any, where: str) -> None:
    """Whether all that is shown is in what is given."""
    if shown == ANYTHING:
        assert given not in (None, "", [], {}), where
    elif isinstance(shown, dict):
        assert shown.keys() <= given.keys(), where
        for name, value in shown.items():
            check(value, given[name], f"{name} in {where}")
    elif isinstance(shown, list):
        assert len(shown) == len(given), where
        for one, other in zip(shown, given, strict=True):
            check(one, other, where)
    else:
        assert shown == given, where


def outputs_of(said: list[str], words: str) -> str:
    """What the example says that has these words in it."""
    examples = [text for language, text in blocks() if language == "sh"]
    (output,) = (said[i] for i, text in enumerate(examples) if words in text)
    return output


def test_the_same_key_gives_the_same_job(said: list[str]) -> None:
    first, second = outputs_of(said, "idempotency-key").split()
    assert first == second


def test_the_events_are_those_of_the_page(said: list[str]) -> None:
    told = outputs_of(said, "uniq -c").split()
    counts = dict(zip(told[2::3], map(int, told[::3]), strict=True))
    assert counts.keys() <= {"state", "progress", "image", "end"}
    assert (counts["image"], counts["end"]) == (2, 1)


def test_a_picture_is_a_png(said: list[str]) -> None:
    assert outputs_of(said, "duck.png").split() == ["200", "image/png"]


def test_the_openai_example_draws(url: str) -> None:
    (example,) = (text for language, text in blocks() if language == "python")
    says = "import base64\nprint(base64.b64decode(drawn.data[0].b64_json)[:4])"
    done = subprocess.run(
        [sys.executable, "-c", f"{example.replace(PRINTED_URL, url)}\n{says}"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == r"b'\x89PNG'"


def test_every_path_of_the_document_has_an_example() -> None:
    from app.main import create_app
    from app.settings import ApiSettings

    headings = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("##")]
    told = " ".join(headings)
    for path, operations in create_app(ApiSettings()).openapi()["paths"].items():
        for method in operations:
            name = re.sub(r"\{(job_id|model)\}", "{id}", path)
            assert f"`{method.upper()} {name}`" in told, f"{method} {path}"
