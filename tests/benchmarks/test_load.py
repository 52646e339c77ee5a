"""The command, on a whole service that is small."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.main import create_app
from app.settings import ApiSettings
from benchmarks.load import main
from model.cascade import Cascade
from tests.benchmarks.listening import listening
from tests.serving import worker_settings, working
from workers.jobs import keys
from workers.jobs.settings import QueueSettings

PHASES = [
    *("late", "submit", "queue text", "stage text"),
    *("queue 8", "stage 8", "queue 16", "stage 16", "whole"),
]


@pytest.fixture
async def url(
    redis: Redis, queue_settings: QueueSettings, tiny_cascade: Path
) -> AsyncIterator[str]:
    """Of a service with one worker; its cascade has stages of 8 and 16 px."""
    settings = ApiSettings.model_validate({**queue_settings.model_dump(), "auth": "none"})
    cascade = Cascade.load(tiny_cascade, "cpu")
    async with (
        working(cascade, worker_settings(queue_settings, tiny_cascade)),
        listening(create_app(settings)) as url,
    ):
        async with asyncio.timeout(60):
            while not await redis.exists(keys.card()):
                await asyncio.sleep(0.02)
        yield url


async def load(url: str, *options: str) -> None:
    """As in another process: the service shares this one's event loop."""
    await asyncio.to_thread(main, ["--url", url, *options])


@pytest.mark.parametrize("ends", ["wait", "poll", "events"])
async def test_every_request_brings_its_pictures(
    url: str, ends: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "load.json"
    body = json.dumps({"prompt": "a cat", "n": 2})
    asked = ["--clients", "3", "--requests", "7", "--body", body, "--json", str(kept)]
    await load(url, *asked, "--ends", ends, "--poll-s", "0.02")
    figures: dict[str, Any] = json.loads(kept.read_text())
    assert (figures["requests"], figures["succeeded"], figures["pictures"]) == (7, 7, 14)
    assert figures["errors"] == {}
    phases = {row["phase"]: row["times"] for row in figures["phases"]}
    assert phases.pop("poll", 0) >= (7 if ends == "poll" else 0)
    assert phases == dict.fromkeys(PHASES, 7)
    assert "| whole | 7 |" in capsys.readouterr().out


async def test_a_mixture_comes_at_its_rate(url: str, tmp_path: Path) -> None:
    kept = tmp_path / "load.json"
    few = ["--body", '{"steps": 2}']
    await load(url, "--rate", "40", "--seconds", "0.5", "--mix", *few, "--json", str(kept))
    figures = json.loads(kept.read_text())
    assert figures["requests"] == figures["succeeded"] > 5
    assert figures["pictures"] > figures["requests"], "some asked for several"
    assert figures["seconds"] >= 0.3


async def test_requests_that_fail_make_the_command_fail(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exits:
        await load(url, "--clients", "1", "--requests", "1", "--body", '{"steps": 100000}')
    assert exits.value.code == 1
    assert "{'status 422': 1}" in capsys.readouterr().out


def test_a_service_that_is_not_there_is_said_before_the_load() -> None:
    with pytest.raises(SystemExit, match=r"^http://127\.0\.0\.1:1 cannot be reached"):
        main(["--url", "http://127.0.0.1:1"])


async def test_another_service_is_said_before_the_load() -> None:
    app = FastAPI()

    @app.get("/model")
    async def read_model() -> str:
        return "T"

    async with listening(app) as url:
        with pytest.raises(SystemExit, match="is another service"):
            await load(url)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--rate", "0"], "argument --rate: '0' is no number above 0"),
        (["--rate", "5", "--clients", "3"], "--clients: not allowed with argument --rate"),
        (["--requests", "1.5"], "argument --requests: '1.5' is no number above 0"),
        (["--body", "a cat"], "argument --body: is not JSON"),
        (["--body", "[]"], "argument --body: is no JSON object"),
        (["--json", "/no/such/folder/load.json"], "make the folder /no/such/folder first"),
    ],
)
def test_wrong_usage_is_named(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exits:
        main(options, prog="imagen load")
    assert exits.value.code == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.startswith("usage: imagen load ")


def test_the_client_needs_nothing_that_workers_need() -> None:
    loaded = "import sys, benchmarks.load; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert {"torch", "diffusers", "numpy", "PIL"}.isdisjoint(done.stdout.split())
