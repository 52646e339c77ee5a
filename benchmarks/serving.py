"""Servers as child processes on loopback, ready when they are handed out: ours and theirs.

They are told nothing by the IMAGEN_* variables that are set here: those may be of a real service.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from app.processes.embedded_queue import EmbeddedQueue
from benchmarks.figures import dtype_name
from workers.jobs import card as cards
from workers.jobs.card import CascadeCard
from workers.jobs.connect import connect_blocking
from workers.jobs.settings import QueueSettings

if TYPE_CHECKING:
    import torch

CARD_S = 3600.0
READY_WITHIN_S = 300.0
STOP_WITHIN_S = 60.0


@dataclass(frozen=True)
class Service:
    """keys: by owner."""

    url: str
    keys: Mapping[str, str]

    def client(self, owner: str | None = None) -> httpx.Client:
        """Requests in this owner's name."""
        headers = {} if owner is None else {"authorization": f"Bearer {self.keys[owner]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120)


@contextmanager
def serving(cascade: Path | None = None, owners: Sequence[str] = ()) -> Iterator[Service]:
    """`imagen serve` with a data folder of its own.

    cascade: a folder; None is the one in the box. owners: who gets an API key; with none of them
    no one needs one.
    """
    command = ["app.cli", "serve"]
    if cascade is not None:
        command += ["--cascade", str(cascade)]
    with tempfile.TemporaryDirectory(prefix="imagen") as data_dir:
        port = _free_port()
        environment = {"IMAGEN_DATA_DIR": data_dir, "IMAGEN_PORT": str(port)}
        keys = {owner: _make_key(owner, environment) for owner in owners}
        with _child(command, environment, port) as url:
            yield Service(url, keys)


@contextmanager
def serving_diffusers(folder: Path, dtype: "torch.dtype") -> Iterator[str]:
    """diffusers_server.py with the pipelines of a folder: its URL."""
    port = _free_port()
    options = ["--folder", str(folder), "--port", str(port), "--dtype", dtype_name(dtype)]
    with _child(["benchmarks.diffusers_server", *options], {}, port) as url:
        yield url


@contextmanager
def serving_api(card: CascadeCard) -> Iterator[str]:
    """`imagen api` on a queue of its own: its URL. No worker is there, only this card of one.

    What is accepted stays queued, without a quota.
    """
    environment = {"IMAGEN_MAX_QUEUED_IMAGES": str(sys.maxsize)}
    with _queue() as queue, connect_blocking(queue, timeout_s=5) as redis:
        cards.publish(redis, card, CARD_S)
        with _on_queue(["app.cli", "api"], queue, environment) as url:
            yield url


@contextmanager
def serving_bare_api() -> Iterator[str]:
    """bare_api.py on a queue of its own: its URL."""
    with _queue() as queue, _on_queue(["benchmarks.bare_api"], queue, {}) as url:
        yield url


@contextmanager
def _queue() -> Iterator[QueueSettings]:
    with (
        tempfile.TemporaryDirectory(prefix="imagen") as data_dir,
        EmbeddedQueue(Path(data_dir)) as queue,
    ):
        yield QueueSettings(redis_url=queue.url, data_dir=Path(data_dir))


@contextmanager
def _on_queue(
    command: Sequence[str], queue: QueueSettings, environment: Mapping[str, str]
) -> Iterator[str]:
    port = _free_port()
    told = {
        "IMAGEN_REDIS_URL": queue.redis_url,
        "IMAGEN_DATA_DIR": str(queue.data_dir),
        "IMAGEN_PORT": str(port),
    }
    with _child(command, {**told, **environment}, port) as url:
        yield url


def _make_key(owner: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "keys", "make", owner],
        env=told_only(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def told_only(environment: Mapping[str, str]) -> dict[str, str]:
    """What a child's own environment is: ours, with no IMAGEN_* variable but these."""
    ours = os.environ.items()  # settings take their names in either case
    others = {name: value for name, value in ours if not name.upper().startswith("IMAGEN_")}
    return {**others, **environment}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _child(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[str]:
    """`python -m command`, stopped in the end. What it said is told if it does not get ready."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=told_only(environment),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not _becomes_ready(process, url):
                said.seek(0)
                raise RuntimeError(f"{command[0]} did not get ready:\n{said.read()[-2000:]}")
            yield url
        finally:
            _stop(process)


def _becomes_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
