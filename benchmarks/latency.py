"""From POST to finished picture on an idle service of 128 px, one client."""

import statistics
import time

import httpx

from benchmarks.figures import keep
from benchmarks.serving import serving
from model.picture_book.prompts import prompts

WARM_UPS, REQUESTS = 3, 20
SIZE_PX = 128


def main() -> None:
    with serving() as service, service.client() as client:
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
    asked = {"prompt": prompt, "seed": seed, "size": SIZE_PX}
    job = client.post("/generate", json=asked, headers={"prefer": "wait=60"}).json()
    client.get(job["images"][0]["url"]).raise_for_status()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
