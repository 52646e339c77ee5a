"""Which combinations training never sees, so that they can be asked for afterwards.

Each thing, each colour and each relation is seen; some of what they make together is not.
"""

import random
import zlib

from model.picture_book.scenes import Figure, Pair, Scene, random_scene
from model.picture_book.things import Thing

_SHARE = 0.1


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows a thing in a colour, or two things together, never shown before."""
    if any(is_held_out_figure(figure) for figure in scene.subject.figures):
        return True
    match scene.subject:
        case Pair(first, _, second):
            return is_held_out_pair(first.thing, second.thing)
        case _:
            return False


def is_held_out_figure(figure: Figure) -> bool:
    """One thing in ten, in each colour but its own."""
    if figure.color_name == figure.thing.color:
        return False
    return _is_chosen(figure.thing.name, figure.color_name)


def is_held_out_pair(one: Thing, other: Thing) -> bool:
    """One pair in ten, in either order and at any place."""
    return _is_chosen(*sorted((one.name, other.name)))


def _is_chosen(*words: str) -> bool:
    """The same everywhere and for ever, unlike hash()."""
    return zlib.crc32(" ".join(words).encode()) % 1000 < 1000 * _SHARE


def training_scene(rng: random.Random) -> Scene:
    """A random scene that is not held out."""
    scene = random_scene(rng)
    while is_held_out(scene):
        scene = random_scene(rng)
    return scene
