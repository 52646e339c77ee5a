"""`imagen serve` as a user has it: ready, a picture, Ctrl-C, and nothing is left running."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.processes import serve
from app.processes.embedded_queue import EmbeddedQueue
from app.processes.supervisor import Program, Supervisor
from app.settings import ApiSettings
from tests.app.conftest import free_port

PATIENCE_S = 60


def imagen(*arguments: str, data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", *arguments],
        env={**os.environ, "IMAGEN_DATA_DIR": str(data_dir), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(cascade: Path, data_dir: Path) -> Generator[tuple[str, str]]:
    """The URL of `imagen serve`, and the command that it says to ask with; then Ctrl-C."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ("--port", str(port), "--cascade", str(cascade))
    with imagen("serve", *options, data_dir=data_dir) as server:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        assert f"tiny is ready at {url}\n" in lines
        yield url, "".join(iter(lines.__next__, "Ctrl-C stops everything.\n"))
        server.send_signal(signal.SIGINT)
        # It ends when every process that holds it has ended: API and worker too.
        server.stdout.read()
        assert server.wait(PATIENCE_S) == 0


def make_key(data_dir: Path) -> str:
    with imagen("keys", "make", "ann", data_dir=data_dir) as made:
        key, _ = made.communicate(timeout=PATIENCE_S)
    assert made.returncode == 0
    return key.strip()


def test_ready_a_picture_and_ctrl_c(tiny_cascade: Path, tmp_path: Path) -> None:
    with serving(tiny_cascade, tmp_path) as (url, command):
        assert "curl" in command
        assert "KEY" not in command
        answer = httpx.post(
            f"{url}/generate",
            json={"prompt": "a red cat"},
            headers={"prefer": "wait=60"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code == httpx.codes.OK
        assert httpx.get(answer.json()["images"][0]["url"]).content.startswith(b"\x89PNG")


def test_keys_are_made_before_it_runs_and_while_it_does(tiny_cascade: Path, tmp_path: Path) -> None:
    before = make_key(tmp_path)
    with serving(tiny_cascade, tmp_path) as (url, command):
        assert '-H "authorization: Bearer $KEY"' in command
        assert httpx.get(f"{url}/model").status_code == httpx.codes.UNAUTHORIZED
        for key in (before, make_key(tmp_path)):
            answer = httpx.get(f"{url}/model", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == httpx.codes.OK


def test_only_the_worker_is_told_of_the_cascade(tmp_path: Path) -> None:
    settings = ApiSettings(
        redis_url="unix:///queue", host="0.0.0.0", port=8123, auth="none", data_dir=tmp_path
    )
    api, worker = serve.programs(settings, {"IMAGEN_CASCADE": "/cascade"})
    redis = {"IMAGEN_REDIS_URL": "unix:///queue"}
    told = {"IMAGEN_HOST": "0.0.0.0", "IMAGEN_PORT": "8123", "IMAGEN_AUTH": "none"}
    assert api.environment == redis | told
    assert worker.environment == redis | {"IMAGEN_CASCADE": "/cascade"}


async def test_without_its_queue_it_stops_and_says_so(tmp_path: Path) -> None:
    pausing = Program("worker", (sys.executable, "-S", "-c", "import signal; signal.pause()"))
    with EmbeddedQueue(tmp_path) as queue:
        supervising = asyncio.create_task(
            serve.supervise(Supervisor([pausing]), queue, asyncio.sleep(0))
        )
        await asyncio.to_thread(queue.stop)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(serve.QueueEnded, match="ended by itself"):
                await supervising
