"""Fixtures with an object store: moto's S3, a process of its own, and a bucket for each test."""

import hashlib
import hmac
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.app.conftest import free_port

PATIENCE_S = 60

SECRET = "a-secret"


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives as long as the session."""
    port = free_port()
    told = tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with told.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait_for(port, server, told)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@pytest.fixture
def bucket_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket with a prefix in it; obstore's own variables say where its server is."""
    bucket = f"bucket-{secrets.token_hex(8)}"
    httpx.put(f"{s3_endpoint}/{bucket}", timeout=PATIENCE_S, trust_env=False).raise_for_status()
    use_s3(monkeypatch, s3_endpoint)
    return f"s3://{bucket}/some/prefix"


def use_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Sets all that obstore reads: nothing of the developer's own account."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "who")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def is_signed_for(method: str, url: str) -> bool:
    """Whether S3 would take it: moto looks at no signature. By AWS's Signature Version 4."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    at, scope = query["X-Amz-Date"][0], query["X-Amz-Credential"][0].partition("/")[2]
    unsigned = "&".join(
        sorted(each for each in parts.query.split("&") if not each.startswith("X-Amz-Signature="))
    )
    host = f"host:{parts.netloc}\n"
    canonical = "\n".join([method, parts.path, unsigned, host, "host", "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for step in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key.hex() == query["X-Amz-Signature"][0]


def _wait_for(port: int, server: subprocess.Popen[bytes], told: Path) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"moto does not serve: {told.read_text('utf-8')}")
