"""From POST to finished picture on an idle service with default settings, one client."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from benchmarks.figures import keep
from model.picture_book.prompts import prompts

WARM_UPS, REQUESTS = 3, 20
READY_WITHIN_S = 120.0


def main() -> None:
    with serving() as url, httpx.Client(base_url=url, timeout=120) as client:
        asked = [prompt.text for prompt in prompts()[: WARM_UPS + REQUESTS]]
        seconds = [_draw(client, text, seed) for seed, text in enumerate(asked)][WARM_UPS:]
    keep(
        "latency",
        {
            "requests": len(seconds),
            "median_s": round(statistics.median(seconds), 3),
            "fastest_s": round(min(seconds), 3),
            "slowest_s": round(max(seconds), 3),
        },
    )


def _draw(client: httpx.Client, prompt: str, seed: int) -> float:
    """Seconds until the picture's bytes are here."""
    started_s = time.perf_counter()
    job = client.post(
        "/generate", json={"prompt": prompt, "seed": seed}, headers={"prefer": "wait=60"}
    ).json()
    client.get(job["images"][0]["url"]).raise_for_status()
    return time.perf_counter() - started_s


@contextmanager
def serving() -> Iterator[str]:
    """`imagen serve` on a free port with a data folder of its own, ready; stopped in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="imagen") as data_dir:
        environment = {**os.environ, "IMAGEN_DATA_DIR": data_dir, "IMAGEN_PORT": str(port)}
        service = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_ready(url)
            yield url
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(timeout=60)


def _wait_until_ready(url: str) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"the service was not ready within {READY_WITHIN_S:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
