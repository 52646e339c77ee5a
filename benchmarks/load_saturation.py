"""What the whole service costs beside its engines, when enough waits that every step is full.

Both draw the same pictures with as many rows in a step: the service from the first POST until the
last client knows that its PNGs are in the store; the engines, in this process, from embeddings to
tensors, with no queue, HTTP or PNG. Ends with status 1 where the service is slower than the goal.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from time import perf_counter

import httpx
import uvloop
from torch import Tensor

from benchmarks import drawing
from benchmarks.figures import Row, judge, keep, told
from benchmarks.load.asking import by_waiting
from benchmarks.load.bodies import PROMPTS
from benchmarks.load.play import Load, play
from benchmarks.load.tally import Tally
from benchmarks.serving import serving
from model.cascade import Cascade
from model.trajectory import TextCondition
from workers import png
from workers.compute import compute_thread
from workers.engine import Admission, StageEngine

LEAST_SPEED = 0.95


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    prompts = PROMPTS[: options.jobs]
    with serving() as service, compute_thread() as compute:
        rows = _rows_of_a_step(service.url)
        cascade = compute.submit(Cascade.load).result()
        encoded = compute.submit(drawing.encode, cascade, prompts).result()
        texts = [text for text in encoded for _ in range(options.n)]
        _service_s(service.url, prompts[:1], 1)
        compute.submit(_engines, cascade, texts[:1], rows).result()
        # In turns. While one draws, the other has nothing to do and takes no time from it.
        turns = [
            told(
                _turn(
                    _service_s(service.url, prompts, options.n),
                    *compute.submit(_engines, cascade, texts, rows).result(),
                )
            )
            for _ in range(options.rounds)
        ]
    speed = _median(turns, "engines / service")
    keep(
        "load_saturation",
        {
            "goal": f"at least {LEAST_SPEED} of the engines' speed",
            **vars(options),
            "rows of a step": rows,
            "service pictures/s": round(len(texts) / _median(turns, "service s"), 3),
            "engines pictures/s": round(len(texts) / _median(turns, "engines s"), 3),
            "of the engines' speed": speed,
            "of the speed of engines and PNG": _median(turns, "engines and PNG / service"),
            "turns": turns,
        },
    )
    judge("load_saturation", speed >= LEAST_SPEED)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load_saturation", description=__doc__
    )
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--n", type=int, default=4, help="pictures of each")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def _rows_of_a_step(url: str) -> Mapping[str, int]:
    """Of the service's worker, by stage."""
    [worker] = httpx.get(f"{url}/model").raise_for_status().json()["workers"]
    places = worker["stages"].items()
    return {stage: place["rows"] for stage, place in places if place["rows"] is not None}


def _turn(service_s: float, engines_s: float, png_s: float) -> Row:
    return {
        "service s": round(service_s, 2),
        "engines s": round(engines_s, 2),
        "PNG s": round(png_s, 2),
        "engines / service": round(engines_s / service_s, 3),
        "engines and PNG / service": round((engines_s + png_s) / service_s, 3),
    }


def _median(turns: Sequence[Row], name: str) -> float:
    return float(statistics.median(turn[name] for turn in turns))


def _service_s(url: str, prompts: Sequence[str], n: int) -> float:
    """All jobs are asked for at once."""
    bodies = iter([{"prompt": prompt, "n": n} for prompt in prompts])
    tally = Tally()
    begun_s = perf_counter()
    uvloop.run(play(Load(url, bodies, by_waiting(1.0), clients=len(prompts)), tally))
    took_s = perf_counter() - begun_s
    if tally.errors:
        raise RuntimeError(f"not all were served: {dict(tally.errors)}")
    return took_s


def _engines(
    cascade: Cascade, texts: Sequence[TextCondition], rows: Mapping[str, int]
) -> tuple[float, float]:
    """Seconds of the stage engines for a picture of each text, and of the PNGs after them."""
    begun_s = perf_counter()
    images: Sequence[Tensor | None] = [None] * len(texts)
    for stage in cascade.stages:
        admissions = [
            Admission(str(index), index, stage.spec.defaults, text, image)
            for index, (text, image) in enumerate(zip(texts, images, strict=True))
        ]
        images = drawing.run(StageEngine(stage, rows[stage.spec.name]), admissions)
    drawn_s = perf_counter()
    for image in images:
        if image is not None:
            png.encode(cascade.finish(image).pixels, {})
    return drawn_s - begun_s, perf_counter() - drawn_s


if __name__ == "__main__":
    main(sys.argv[1:])
