"""Judges whether a picture shows the scene that was asked for.

Compares what sight.py sees with the scene; reads no pixel itself.
"""

from dataclasses import dataclass

from model.picture_book.drawings import Pixels
from model.picture_book.scenes import Count, Pair, Relation, Scale, Scene, Single
from model.picture_book.sight import Seen, SeenFigure, look

MIN_LIKENESS = 0.6
"""Below it a figure is too unlike any drawing to have its name; 99 of 100 clumsy ones reach 0.8."""

_SMALLEST_BIG, _LARGEST_SMALL = 0.82, 0.51
"""Halfway between the sides that scenes.py draws."""


@dataclass(frozen=True)
class Verdict:
    """What of a scene its picture got right."""

    ground: bool
    count: bool
    things: bool
    colors: bool
    """Each thing in its colour; where the things are wrong, the same colours."""
    size: bool
    """False where a small or big thing was asked for and is not."""
    placing: bool
    """The asked relation holds; needs the right things, each once."""

    @property
    def right(self) -> bool:
        return all((self.ground, self.count, self.things, self.colors, self.size, self.placing))


def judge(pixels: Pixels, scene: Scene) -> Verdict:
    """Look at a picture (uint8 [S, S, 3]) and compare it with a scene."""
    return compare(look(pixels), scene)


def compare(seen: Seen, scene: Scene) -> Verdict:
    """Hold what was seen against what was asked for."""
    asked = scene.subject.figures
    names = {each.figure.thing.name for each in seen.figures}
    recognised = all(each.likeness >= MIN_LIKENESS for each in seen.figures)
    things = recognised and names == {figure.thing.name for figure in asked}
    count = len(seen.figures) == len(asked)
    return Verdict(
        ground=seen.ground == scene.ground_name,
        count=count,
        things=things,
        colors=_colors_match(seen, scene, things),
        size=_size_fits(seen, scene),
        placing=not isinstance(scene.subject, Pair)
        or (things and count and _relation_holds(seen, scene.subject)),
    )


def _colors_match(seen: Seen, scene: Scene, by_thing: bool) -> bool:
    asked = scene.subject.figures
    if not by_thing:
        return {each.figure.color_name for each in seen.figures} == {
            figure.color_name for figure in asked
        }
    return {(each.figure.thing.name, each.figure.color_name) for each in seen.figures} == {
        (figure.thing.name, figure.color_name) for figure in asked
    }


def _size_fits(seen: Seen, scene: Scene) -> bool:
    match scene.subject:
        case Single(scale=Scale.SMALL):
            return all(each.side <= _LARGEST_SMALL for each in seen.figures)
        case Single(scale=Scale.BIG):
            return all(each.side >= _SMALLEST_BIG for each in seen.figures)
        case Single() | Pair() | Count():
            return True


def _relation_holds(seen: Seen, pair: Pair) -> bool:
    spots = {each.figure.thing.name: each for each in seen.figures}
    first, second = spots[pair.first.thing.name], spots[pair.second.thing.name]
    return relation_holds(first, pair.relation, second)


def relation_holds(first: SeenFigure, relation: Relation, second: SeenFigure) -> bool:
    """Whether one figure stands to another as said: the larger of the two offsets counts."""
    right, down = second.x - first.x, second.y - first.y
    match relation:
        case Relation.NEXT_TO:
            return abs(right) > abs(down)
        case Relation.LEFT_OF:
            return right > abs(down)
        case Relation.RIGHT_OF:
            return -right > abs(down)
        case Relation.ABOVE:
            return down > abs(right)
        case Relation.BELOW:
            return -down > abs(right)
