"""What a language needs to say a scene: phrases, without things and colours. Knows no grammar."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from model.picture_book.scenes import Count, Figure, Pair, Relation, Scale, Single, Subject

One = Callable[[Figure, Scale, random.Random], str]
Several = Callable[[Figure, int, random.Random], str]
"""How a language says a thing of some size, and several of a thing."""


@dataclass(frozen=True)
class Phrases:
    """Ways to say the parts of a scene; one of each is taken at random."""

    openings: tuple[str, ...]
    """With a place for the {subject}."""
    relations: dict[Relation, tuple[str, ...]]
    """With places for {a}, the first thing of a pair, and {b}, the second."""
    grounds: tuple[str, ...]
    """With places for the {subject} and the {ground}."""

    def say_subject(self, subject: Subject, rng: random.Random, one: One, several: Several) -> str:
        """A thing, two by each other, or several of one."""
        match subject:
            case Single(figure, scale):
                return one(figure, scale, rng)
            case Pair(first, relation, second):
                a, b = (one(figure, Scale.NORMAL, rng) for figure in (first, second))
                return rng.choice(self.relations[relation]).format(a=a, b=b)
            case Count(figure, count):
                return several(figure, count, rng)

    def texts(self) -> list[str]:
        """All phrases, places and all."""
        relations = [phrase for phrases in self.relations.values() for phrase in phrases]
        return [*self.openings, *relations, *self.grounds]
