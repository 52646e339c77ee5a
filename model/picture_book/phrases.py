"""What a language needs to say a scene: phrases, without things and colours. Knows no grammar."""

from dataclasses import dataclass

from model.picture_book.scenes import Relation


@dataclass(frozen=True)
class Phrases:
    """Ways to say the parts of a scene; one of each is taken at random."""

    openings: tuple[str, ...]
    """With a place for the {subject}."""
    relations: dict[Relation, tuple[str, ...]]
    """With places for {a}, the first thing of a pair, and {b}, the second."""
    grounds: tuple[str, ...]
    """With places for the {subject} and the {ground}."""

    def texts(self) -> list[str]:
        """All phrases, places and all."""
        relations = [phrase for phrases in self.relations.values() for phrase in phrases]
        return [*self.openings, *relations, *self.grounds]
