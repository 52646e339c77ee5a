"""What the stage engine costs beside its network: both step the same rows, stage by stage."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import drawing, rounds
from benchmarks.figures import Row, dtype_name, keep, told
from benchmarks.sized_cascades import if_m_shape, write_if_cascade
from model.cascade import Cascade
from model.stage import Stage
from model.trajectory import TextCondition
from workers.engine import Admission, StageEngine

GUIDANCE_SCALE = 4.0


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    rows = []
    with _sources() as sources:
        for source in sources:
            cascade = Cascade.load(source)
            [text] = drawing.encode(cascade, ["a red apple"])
            for stage in cascade.stages:
                rows_of_a_step = options.rows or drawing.rows_of_a_step(cascade)[stage.spec.name]
                measured = _measure(stage, text, max(2, rows_of_a_step), options)
                rows.append(told({"cascade": cascade.name, **measured}))
    keep("engine", {"goal": "ratio at least 0.95", "rounds": options.rounds, "stages": rows})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--rows", type=int, help="half of them unconditional (default: a step's)")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args(arguments)


@contextmanager
def _sources() -> Iterator[list[Path | None]]:
    """The cascade in the box and, where a GPU is there to run them, networks as large as IF's."""
    if not torch.cuda.is_available():
        yield [None]
        return
    with tempfile.TemporaryDirectory(prefix="imagen") as folder:
        yield [None, write_if_cascade(Path(folder), if_m_shape())]


def _measure(stage: Stage, text: TextCondition, rows: int, options: argparse.Namespace) -> Row:
    images = rows // 2
    seconds = rounds.interleaved(
        {
            "ours": _engine(stage, text, images, options.steps),
            "theirs": _forwards(stage, text, images, options.steps),
        },
        options.rounds,
    )
    return {
        "stage": stage.spec.name,
        "dtype": dtype_name(stage.network.dtype),
        "rows": 2 * images,
        "steps": options.steps,
        "engine images/s": round(images / statistics.median(seconds["ours"]), 3),
        "bare forward images/s": round(images / statistics.median(seconds["theirs"]), 3),
        "ratio": round(rounds.speedup(seconds, "ours", "theirs"), 3),
    }


def _engine(stage: Stage, text: TextCondition, images: int, steps: int) -> Callable[[], object]:
    """Whole images: admitted, stepped, handed out."""
    settings = replace(stage.spec.defaults, steps=steps, guidance_scale=GUIDANCE_SCALE)
    size_px = stage.spec.size_px
    low_res = torch.zeros(3, size_px // 4, size_px // 4) if stage.spec.is_super_resolution else None
    admissions = [Admission(str(seed), seed, settings, text, low_res) for seed in range(images)]
    return lambda: drawing.run(StageEngine(stage, 2 * images), admissions)


def _forwards(stage: Stage, text: TextCondition, images: int, steps: int) -> Callable[[], object]:
    """As many forwards of the same U-Net as the engine takes steps, with nothing between them."""
    unet = stage.network.unet
    device, dtype = stage.network.device, stage.network.dtype
    rows, size_px, channels = 2 * images, stage.spec.size_px, unet.config["in_channels"]
    x = torch.randn(rows, channels, size_px, size_px).to(device, dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    timesteps = torch.full((rows,), 500, device=device)
    hidden = torch.stack([text.prompt, text.negative] * images).to(device, dtype)
    labels = torch.full((rows,), 100, device=device) if stage.spec.is_super_resolution else None

    @torch.inference_mode()
    def forwards() -> None:
        for _ in range(steps):
            unet(x, timesteps, encoder_hidden_states=hidden, class_labels=labels, return_dict=False)

    return forwards


if __name__ == "__main__":
    main(sys.argv[1:])
