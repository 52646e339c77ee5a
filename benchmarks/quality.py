"""How right the pictures of the cascade in the box are, against the network rows they cost.

The base is sampled in several ways, super-resolution as shipped; the oracle judges.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace

from benchmarks import drawing
from benchmarks.figures import Row, keep, table, told
from model.cascade import Cascade
from model.picture_book.drawings import Pixels
from model.picture_book.evaluate import Judged, report, wilson_interval
from model.picture_book.oracle import Verdict
from model.picture_book.prompts import CATEGORIES, Prompt, prompts_by_category
from model.plan import StageSettings, plan
from model.stage import StageSpec

STEPS = (("ddpm", 100), ("dpmpp", 50), ("dpmpp", 25), ("dpmpp", 16), ("dpmpp", 12), ("dpmpp", 8))
"""Sampler and steps of the base, guided all the way."""

INTERVALS = ((0.0, 0.8), (0.1, 0.9), (0.2, 1.0), (0.3, 1.0), (0.3, 0.9), (0.4, 0.9))
"""Times between which the base is guided, with its own sampler and steps."""


def main(arguments: Sequence[str] = ()) -> None:
    options = _options(arguments)
    cascade = Cascade.load()
    base, *rest = (stage.spec for stage in cascade.stages)
    asked = prompts_by_category(options.per_category)
    measured = list(_measured(cascade, asked))
    keep(
        "quality",
        {
            "pictures": len(asked),
            "guidance_scale": base.defaults.guidance_scale,
            "rows of the stages after the base": sum(rows(spec, spec.defaults) for spec in rest),
            "variants": [asdict(each) for each in measured],
        },
        shown=table([each.row() for each in measured]),
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--per-category", type=int, default=4, help=f"of {len(CATEGORIES)} (default: 4)"
    )
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Rate:
    """How often something was right, and where that lies with 95 % confidence (Wilson)."""

    rate: float
    low: float
    high: float

    @classmethod
    def of(cls, verdicts: Sequence[bool]) -> "Rate":
        low, high = wilson_interval(sum(verdicts), len(verdicts))
        return cls(round(sum(verdicts) / len(verdicts), 4), round(low, 4), round(high, 4))


@dataclass(frozen=True)
class Measured:
    """A way to sample the base. rows: of the base's network, for one picture."""

    sampler: str
    steps: int
    guidance_interval: tuple[float, float]
    is_default: bool
    rows: int
    right: Rate
    aspects: dict[str, Rate]

    def row(self) -> Row:
        first, last = self.guidance_interval
        low, high = _percent(self.right.low), _percent(self.right.high)
        return {
            "sampler": f"{self.sampler}{' (shipped)' if self.is_default else ''}",
            "steps": self.steps,
            "guided": f"{first:g} to {last:g}",
            "rows": self.rows,
            "right %": _percent(self.right.rate),
            "95 %": f"{low} to {high}",
            **{name: _percent(aspect.rate) for name, aspect in self.aspects.items()},
        }


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _measured(cascade: Cascade, asked: Sequence[Prompt]) -> Iterator[Measured]:
    spec = cascade.stages[0].spec
    for settings in variants(spec.defaults):
        artist = Artist(cascade, settings)
        measured = _rated(report(artist.draw, asked), spec, settings)
        told(measured.row())
        yield measured


def variants(shipped: StageSettings) -> list[StageSettings]:
    """All that is tried at the base, each once; what is shipped comes first."""
    steps = [
        replace(shipped, sampler=sampler, steps=steps, guidance_interval=(0.0, 1.0))
        for sampler, steps in STEPS
    ]
    intervals = [replace(shipped, guidance_interval=interval) for interval in INTERVALS]
    tried = [shipped, *steps, *intervals]
    return [each for place, each in enumerate(tried) if each not in tried[:place]]


@dataclass(frozen=True)
class Artist:
    """Draws with one way to sample the base."""

    cascade: Cascade
    base: StageSettings

    def draw(self, texts: list[str], seeds: list[int]) -> list[Pixels]:
        conditions = drawing.encode(self.cascade, texts)
        settings = {self.cascade.stages[0].spec.name: self.base}
        pictures = drawing.draw(self.cascade, conditions, seeds, settings)
        return [picture.numpy(force=True) for picture in pictures]


def _rated(judged: Sequence[Judged], spec: StageSpec, settings: StageSettings) -> Measured:
    verdicts = [each.verdict for each in judged]
    return Measured(
        sampler=settings.sampler,
        steps=settings.steps,
        guidance_interval=settings.guidance_interval,
        is_default=settings == spec.defaults,
        rows=rows(spec, settings),
        right=Rate.of([verdict.right for verdict in verdicts]),
        aspects={
            field.name: Rate.of([getattr(verdict, field.name) for verdict in verdicts])
            for field in fields(Verdict)
        },
    )


def rows(spec: StageSpec, settings: StageSettings) -> int:
    """Rows of the stage's network that one picture takes: two for a guided step, one otherwise."""
    return sum(2 if step.is_guided else 1 for step in plan(spec.schedule, settings, spec.variance))


if __name__ == "__main__":
    main(sys.argv[1:])
