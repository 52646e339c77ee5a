"""`imagen serve` as a user has it: ready, a picture, Ctrl-C, and nothing is left running."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app import serve
from app.embedded_queue import EmbeddedQueue
from app.settings import ApiSettings
from app.supervisor import Program, Supervisor

PATIENCE_S = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_ready_a_picture_and_ctrl_c(tiny_cascade: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    options = ("--port", url.rpartition(":")[2], "--cascade", str(tiny_cascade))
    environment = {name: value for name, value in os.environ.items() if name != "IMAGEN_REDIS_URL"}
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", *options],
        env={**environment, "IMAGEN_DATA_DIR": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as imagen:
        assert imagen.stdout is not None
        lines = iter(imagen.stdout.readline, "")
        assert f"tiny is ready at {url}\n" in lines
        answer = httpx.post(
            f"{url}/generate",
            json={"prompt": "a red cat"},
            headers={"prefer": "wait=60"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code == httpx.codes.OK
        assert httpx.get(answer.json()["images"][0]["url"]).content.startswith(b"\x89PNG")
        imagen.send_signal(signal.SIGINT)
        # It ends when every process that holds it has ended: API and worker too.
        imagen.stdout.read()
        assert imagen.wait(PATIENCE_S) == 0


def test_only_the_worker_is_told_of_the_cascade(tmp_path: Path) -> None:
    settings = ApiSettings(host="0.0.0.0", port=8123, data_dir=tmp_path)
    api, worker = serve.programs(settings, "unix:///queue", {"IMAGEN_CASCADE": "/cascade"})
    redis = {"IMAGEN_REDIS_URL": "unix:///queue"}
    assert api.environment == redis | {"IMAGEN_HOST": "0.0.0.0", "IMAGEN_PORT": "8123"}
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
