"""`imagen keys`: a key on stdout, everything else on stderr, and no secret in a list."""

import re
from pathlib import Path

import pytest
import redis

from app.processes.embedded_queue import EmbeddedQueue
from tests.app.commands.running import imagen, run
from workers.jobs import keys


def test_made_listed_revoked(tmp_path: Path) -> None:
    """No service runs: the private queue is started for each command, and keeps the keys."""
    data = {"IMAGEN_DATA_DIR": str(tmp_path)}
    made = run("keys", "make", "ann", "--priority", "high", **data)
    assert made.exit_code == 0
    assert re.fullmatch(r"imagen_[0-9a-f]{8}_[0-9a-f]{64}\n", made.stdout)
    _, key_id, secret = made.stdout.strip().split("_")
    assert "is shown only now" in made.stderr
    assert "every request needs" in made.stderr
    assert secret not in made.stderr
    assert run("keys", "make", "bob", **data).exit_code == 0

    listed = run("keys", "list", **data)
    heading, ann, bob = listed.stdout.splitlines()
    assert heading.split()[:3] == ["ID", "OWNER", "PRIORITY"]
    assert ann.split()[:3] == [key_id, "ann", "high"]
    assert bob.split()[1:3] == ["bob", "normal"]
    assert secret not in listed.output

    revoked = run("keys", "revoke", key_id, **data)
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert "No key is left" not in revoked.stderr
    assert key_id not in run("keys", "list", **data).stdout

    last = run("keys", "revoke", bob.split()[0], **data)
    assert "No key is left" in last.stderr
    empty = run("keys", "list", **data)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "imagen keys make NAME" in empty.stderr


def test_an_id_that_no_key_has_is_wrong_usage(tmp_path: Path) -> None:
    refused = run("keys", "revoke", "00000000", IMAGEN_DATA_DIR=str(tmp_path))
    assert refused.exit_code == 2
    assert "`imagen keys list` shows those there are" in refused.stderr


def test_a_long_owner_is_listed_whole(tmp_path: Path) -> None:
    data = {"IMAGEN_DATA_DIR": str(tmp_path), "COLUMNS": "60"}
    owner = "a" * 64
    run("keys", "make", owner, **data)
    _, *rows = run("keys", "list", **data).stdout.splitlines()
    assert "".join(row[10:].split(" ")[0] for row in rows) == owner


def test_the_queue_of_a_service_that_runs(tmp_path: Path) -> None:
    with EmbeddedQueue(tmp_path) as queue, redis.Redis.from_url(queue.url) as client:
        made = run("keys", "make", "ann", IMAGEN_DATA_DIR=str(tmp_path))
        assert client.hkeys(keys.api_keys()) == [made.stdout.split("_")[1].encode()]


def test_the_redis_that_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "untouched"
    with EmbeddedQueue(tmp_path) as queue, redis.Redis.from_url(queue.url) as client:
        made = run("keys", "make", "ann", IMAGEN_REDIS_URL=queue.url, IMAGEN_DATA_DIR=str(data_dir))
        assert client.hkeys(keys.api_keys()) == [made.stdout.split("_")[1].encode()]
    assert not data_dir.exists()


@pytest.mark.parametrize("command", [("make", "ann"), ("list",), ("revoke", "00000000")])
def test_a_redis_that_is_away_is_a_failure(tmp_path: Path, command: tuple[str, ...]) -> None:
    failed = imagen("keys", *command, IMAGEN_REDIS_URL=f"unix://{tmp_path}/nothing.sock")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("imagen: Redis cannot be reached")
    assert len(failed.stderr.splitlines()) == 1
