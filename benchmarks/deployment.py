"""A service's processes on hosts of their own: see network.py. Their pictures lie in one folder."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import httpx

from app.processes.embedded_queue import find_server
from app.processes.parent_death import dies_with_parent
from benchmarks.network import Host
from benchmarks.serving import told_only
from workers.jobs.connect import connect_blocking, queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.settings import QueueSettings

QUEUE_PORT, API_PORT = 6379, 8000
READY_WITHIN_S = 300.0
STOP_WITHIN_S = 30.0
PAUSE_S = 0.2
TOLD_BYTES = 2000


@dataclass(frozen=True)
class Process:
    """One of ours, which writes what it logs to `log`."""

    popen: subprocess.Popen[str]
    log: TextIO

    def said(self) -> str:
        """The end of its log. Read without a move of the place where it writes, which it shares."""
        log = self.log.fileno()
        start = max(0, os.fstat(log).st_size - TOLD_BYTES)
        return os.pread(log, TOLD_BYTES, start).decode(errors="replace")


@contextmanager
def queue_on(host: Host) -> Iterator[str]:
    """A Redis in memory. Its URL, when it answers."""
    where = ("--bind", host.address, "--port", str(QUEUE_PORT), "--protected-mode", "no")
    in_memory = ("--save", "", "--appendonly", "no")
    queue = QueueSettings(redis_url=f"redis://{host.address}:{QUEUE_PORT}")
    with _process_on(host, [str(find_server()), *where, *in_memory], {}) as process:
        with host.entered():
            _wait_until(lambda: _queue_answers(queue), process)
        yield queue.redis_url


@contextmanager
def api_on(host: Host, queue: QueueSettings) -> Iterator[str]:
    """`imagen api`, which needs no key. Its URL, when it listens."""
    told = {"IMAGEN_HOST": host.address, "IMAGEN_PORT": str(API_PORT), "IMAGEN_AUTH": "none"}
    url = f"http://{host.address}:{API_PORT}"
    with _process_on(host, _imagen("api"), told | _where(queue)) as process:
        with host.entered():
            _wait_until(lambda: _workers(url) is not None, process)
        yield url


@contextmanager
def worker_on(host: Host, queue: QueueSettings, told: Mapping[str, str]) -> Iterator[Process]:
    """`imagen worker`, which may not serve yet: see until_serving. told: IMAGEN_* variables."""
    with _process_on(host, _imagen("worker"), {**_where(queue), **told}) as process:
        yield process


def until_serving(url: str, workers: Sequence[Process]) -> None:
    """Wait until the API there knows of so many workers. To be called where it can be reached."""
    _wait_until(lambda: _workers(url) == len(workers), *workers)


@contextmanager
def _process_on(
    host: Host, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Process]:
    """Ended in the end, and with us."""
    with tempfile.TemporaryFile("w+") as log:
        with host.entered():
            popen = subprocess.Popen(
                command,
                env=told_only(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )
        try:
            yield Process(popen, log)
        finally:
            popen.terminate()
            try:
                popen.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()


def _wait_until(is_ready: Callable[[], bool], *processes: Process) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not is_ready():
        has_ended = any(process.popen.poll() is not None for process in processes)
        if has_ended or time.monotonic() > deadline_s:
            said = "\n".join(process.said() for process in processes)
            raise RuntimeError(f"it did not get ready:\n{said}")
        time.sleep(PAUSE_S)


def _queue_answers(queue: QueueSettings) -> bool:
    try:
        with connect_blocking(queue, timeout_s=1) as client, queue_errors():
            return bool(client.ping())
    except QueueUnavailable:
        return False


def _workers(url: str) -> int | None:
    """How many the API there knows; None where it does not answer."""
    try:
        answer = httpx.get(f"{url}/model", trust_env=False)
    except httpx.TransportError:
        return None
    return len(answer.json()["workers"]) if answer.is_success else 0


def _where(queue: QueueSettings) -> dict[str, str]:
    return {"IMAGEN_REDIS_URL": queue.redis_url, "IMAGEN_DATA_DIR": str(queue.data_dir)}


def _imagen(command: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", command]
