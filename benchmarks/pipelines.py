"""Pictures a second, ours against diffusers' pipelines: same weights, steps, guidance, sampler.

Text is encoded beforehand on both sides. Theirs gets one call for all pictures.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks import drawing, rounds
from benchmarks.figures import Row, dtype_name, keep, told
from benchmarks.sized_cascades import if_m_shape, picture_book_shape, write_if_cascade
from benchmarks.theirs import Asked, Pipelines, usual_dtype
from model.cascade import Cascade
from model.picture_book.prompts import prompts
from model.plan import StageSettings

AUG_LEVEL = 0.25
"""diffusers' noise_level of 250."""


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    asked = Asked(tuple(options.steps), (7.0, 4.0))
    shape = if_m_shape() if torch.cuda.is_available() else picture_book_shape()
    with tempfile.TemporaryDirectory(prefix="imagen") as folder:
        contest = Contest(write_if_cascade(Path(folder), shape), asked)
        rows = [
            told(row) for images in options.images for row in contest.rows(images, options.rounds)
        ]
    keep(
        "pipelines",
        {
            "goal": "ratio at least 3 for 64 images on a GPU",
            "cascade": shape.name,
            "steps": asked.steps,
            "guidance_scale": asked.guidance_scale,
            "sampler": "ddpm",
            "text": "not timed",
            "rounds": options.rounds,
            "pictures": rows,
        },
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipelines", description=__doc__)
    steps = [50, 25] if torch.cuda.is_available() else [6, 4]
    parser.add_argument("--steps", type=int, nargs=2, default=steps, metavar=("BASE", "SR"))
    parser.add_argument("--images", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


class Contest:
    """Our cascade, and their pipelines as they come and in the number type that ours uses."""

    def __init__(self, folder: Path, asked: Asked):
        self._asked = asked
        self._cascade = Cascade.load(folder)
        network = self._cascade.stages[0].network
        self._ours = dtype_name(network.dtype)
        self._theirs = {
            dtype_name(dtype): Pipelines(folder, network.device, dtype)
            for dtype in (usual_dtype(network.device), network.dtype)
        }

    def rows(self, images: int, times: int) -> list[Row]:
        """One for each of theirs."""
        asked = prompts()
        texts = [asked[index % len(asked)].text for index in range(images)]
        contenders = {"ours": self._draw_ours(texts)}
        for name, pipelines in self._theirs.items():
            contenders[name] = self._draw_theirs(pipelines, texts)
        seconds = rounds.interleaved(contenders, times)
        rate = {name: images / statistics.median(took) for name, took in seconds.items()}
        return [
            {
                "images": images,
                "ours": self._ours,
                "theirs": name,
                "our images/s": round(rate["ours"], 3),
                "their images/s": round(rate[name], 3),
                "ratio": round(rounds.speedup(seconds, "ours", name), 2),
            }
            for name in self._theirs
        ]

    def _draw_ours(self, texts: Sequence[str]) -> Callable[[], object]:
        conditions = drawing.encode(self._cascade, texts)
        settings = {
            stage.spec.name: StageSettings(
                steps, "ddpm", scale, AUG_LEVEL if stage.spec.is_super_resolution else None
            )
            for stage, steps, scale in zip(
                self._cascade.stages, self._asked.steps, self._asked.guidance_scale, strict=True
            )
        }
        return lambda: drawing.draw(self._cascade, conditions, range(len(texts)), settings)

    def _draw_theirs(self, pipelines: Pipelines, texts: Sequence[str]) -> Callable[[], object]:
        embeddings = pipelines.encode(texts)
        return lambda: pipelines.draw(embeddings, self._asked)


if __name__ == "__main__":
    main(sys.argv[1:])
