"""One owner asks for a thousand pictures, another then for one: how long that one takes."""

import statistics
import time

import httpx

from benchmarks.figures import keep
from benchmarks.serving import serving

MANY, EACH, SETTLE_S = 63, 16, 20.0
TRIALS = 5
SIZE = {"size": 128}


def main() -> None:
    with (
        serving(owners=("many", "one")) as service,
        service.client("many") as many,
        service.client("one") as one,
    ):
        _draw(one)
        alone = [_draw(one) for _ in range(TRIALS)]
        jobs = [_ask(many) for _ in range(MANY)]
        time.sleep(SETTLE_S)  # until every stage is as full as it gets
        done, started_s = _pictures(many, jobs), time.perf_counter()
        behind = [_draw(one) for _ in range(TRIALS)]
        took_s = time.perf_counter() - started_s
        drawn = _pictures(many, jobs) - done
        for job in jobs:
            many.post(f"/jobs/{job}/cancel").raise_for_status()
    per_s = (drawn + TRIALS) / took_s
    keep(
        "fairness",
        {
            "pictures_waiting": MANY * EACH,
            "alone_s": round(statistics.median(alone), 2),
            "behind_them_s": round(statistics.median(behind), 2),
            "behind_them_longest_s": round(max(behind), 2),
            "pictures_per_s": round(per_s, 2),
            "first_come_first_served_s": round((MANY * EACH - done) / per_s, 1),
        },
    )


def _ask(client: httpx.Client) -> str:
    answer = client.post("/generate", json={**SIZE, "prompt": "a red apple", "n": EACH})
    job_id: str = answer.raise_for_status().json()["id"]
    return job_id


def _draw(client: httpx.Client) -> float:
    """Seconds from the request to the end of its job."""
    started_s = time.perf_counter()
    answer = client.post(
        "/generate", json={**SIZE, "prompt": "a cat"}, headers={"prefer": "wait=60"}
    )
    assert answer.raise_for_status().json()["status"] == "succeeded"
    return time.perf_counter() - started_s


def _pictures(client: httpx.Client, jobs: list[str]) -> int:
    return sum(len(client.get(f"/jobs/{job}").json()["images"]) for job in jobs)


if __name__ == "__main__":
    main()
