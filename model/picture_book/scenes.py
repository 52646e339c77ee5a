"""Scenes of the picture-book: what a picture shows, where its things stand, and how it is drawn.

A scene is the meaning that caption, picture and oracle share. Knows nothing of words.
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from model.picture_book.drawings import Pixels, Placed, drawing, render
from model.picture_book.things import COLORS, GROUNDS, THINGS, Thing


class Relation(StrEnum):
    """How the first of two things stands to the second.

    Next to it, the first is drawn on the left, though either side is right: what may be drawn in
    two ways is drawn badly, both things having to know which was chosen.
    """

    NEXT_TO = "next to"
    LEFT_OF = "left of"
    RIGHT_OF = "right of"
    ABOVE = "above"
    BELOW = "below"


class Scale(StrEnum):
    SMALL = "small"
    NORMAL = "normal"
    BIG = "big"


@dataclass(frozen=True)
class Figure:
    """A thing in a scene, in its natural colour or painted in a named one."""

    thing: Thing
    color: str | None = None

    @property
    def color_name(self) -> str:
        return self.color or self.thing.color

    @property
    def color_hex(self) -> str:
        return COLORS[self.color] if self.color else drawing(self.thing.name).color


@dataclass(frozen=True)
class Single:
    """One thing."""

    figure: Figure
    scale: Scale = Scale.NORMAL

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (self.figure,)


@dataclass(frozen=True)
class Pair:
    """Two different things, one placed by the other."""

    first: Figure
    relation: Relation
    second: Figure

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (self.first, self.second)


@dataclass(frozen=True)
class Count:
    """Two to four of one thing."""

    figure: Figure
    count: int

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (self.figure,) * self.count


Subject = Single | Pair | Count


@dataclass(frozen=True)
class Scene:
    """A subject on a ground. A ground of None is the one that goes without saying."""

    subject: Subject
    ground: str | None = None

    @property
    def ground_name(self) -> str:
        """The ground that is drawn: white where none is named, blue where white would hide one."""
        if self.ground is not None:
            return self.ground
        hidden = any(figure.color_name == "white" for figure in self.subject.figures)
        return "blue" if hidden else "white"

    def draw(self, rng: random.Random, size_px: int) -> Pixels:
        """Draw the scene with its things placed a little differently each time."""
        return render(self.placed(rng), GROUNDS[self.ground_name], size_px)

    def placed(self, rng: random.Random) -> tuple[Placed, ...]:
        spots = _spots(self.subject, rng)
        return tuple(
            Placed(drawing(figure.thing.name), figure.color_hex, x, y, side)
            for figure, (x, y, side) in zip(self.subject.figures, spots, strict=True)
        )


Spot = tuple[float, float, float]
"""Centre x, centre y and side of a thing's box, in parts of the canvas."""

_SIDES = {Scale.SMALL: (0.30, 0.38), Scale.NORMAL: (0.64, 0.74), Scale.BIG: (0.90, 0.98)}
_DRIFT = {Scale.SMALL: 0.10, Scale.NORMAL: 0.04, Scale.BIG: 0.01}
_MIRRORED = {Relation.RIGHT_OF: Relation.LEFT_OF, Relation.BELOW: Relation.ABOVE}
_SIDE_BY_SIDE = (Relation.LEFT_OF, Relation.NEXT_TO)
_COUNT_CENTERS: dict[int, tuple[tuple[float, float], ...]] = {
    2: ((0.27, 0.5), (0.73, 0.5)),
    3: ((0.5, 0.27), (0.27, 0.73), (0.73, 0.73)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}


def _spots(subject: Subject, rng: random.Random) -> tuple[Spot, ...]:
    match subject:
        case Single():
            drift = _DRIFT[subject.scale]
            side = rng.uniform(*_SIDES[subject.scale])
            return ((_near(0.5, drift, rng), _near(0.5, drift, rng), side),)
        case Pair():
            return _pair_spots(subject.relation, rng)
        case Count():
            side = rng.uniform(0.37, 0.42)
            return tuple(
                (_near(x, 0.025, rng), _near(y, 0.025, rng), side)
                for x, y in _COUNT_CENTERS[subject.count]
            )


def _pair_spots(relation: Relation, rng: random.Random) -> tuple[Spot, ...]:
    if relation in _MIRRORED:
        second, first = _pair_spots(_MIRRORED[relation], rng)
        return first, second
    spots: list[Spot] = []
    for along_center in (0.27, 0.73):
        along, across = _near(along_center, 0.02, rng), _near(0.5, 0.04, rng)
        x, y = (along, across) if relation in _SIDE_BY_SIDE else (across, along)
        spots.append((x, y, rng.uniform(0.41, 0.46)))
    return tuple(spots)


def _near(center: float, drift: float, rng: random.Random) -> float:
    return center + rng.uniform(-drift, drift)


_NAMED_COLOR_SHARE = 0.6
_NAMED_GROUND_SHARE = 0.6
_SUBJECT_SHARES = {Single: 0.32, Pair: 0.44, Count: 0.24}


def random_scene(rng: random.Random) -> Scene:
    """Draw a scene from the world: what training sees, and what it never does."""
    (kind,) = rng.choices(tuple(_SUBJECT_SHARES), tuple(_SUBJECT_SHARES.values()))
    if kind is Single:
        scale = rng.choices(tuple(Scale), (0.18, 0.64, 0.18))[0]
        subject: Subject = Single(random_figure(rng), scale)
    elif kind is Pair:
        first, second = random_figure(rng), random_figure(rng)
        while second.thing == first.thing:
            second = random_figure(rng)
        subject = Pair(first, rng.choice(tuple(Relation)), second)
    else:
        subject = Count(random_figure(rng), rng.choice((2, 3, 4)))
    return Scene(subject, _random_ground(subject, rng))


def random_figure(rng: random.Random) -> Figure:
    """Any thing, painted in three of five cases: in its own colour it is learned soon enough."""
    thing = rng.choice(tuple(THINGS.values()))
    color = rng.choice(tuple(COLORS)) if rng.random() < _NAMED_COLOR_SHARE else None
    return Figure(thing, color)


def _random_ground(subject: Subject, rng: random.Random) -> str | None:
    """A ground that no thing of the subject vanishes in, or None."""
    if rng.random() >= _NAMED_GROUND_SHARE:
        return None
    taken = {figure.color_name for figure in subject.figures}
    return rng.choice([name for name in GROUNDS if name not in taken])
