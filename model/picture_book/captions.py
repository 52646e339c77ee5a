"""Says a scene in English, in varied words."""

import random

from model.picture_book.scenes import Count, Figure, Pair, Relation, Scale, Scene, Single
from model.picture_book.things import COLORS, GROUNDS, THINGS

_SCALE_WORDS = {
    Scale.SMALL: ("small", "little", "tiny"),
    Scale.NORMAL: ("",),
    Scale.BIG: ("big", "large", "huge"),
}
_NUMBER_WORDS = {2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
_OPENINGS = ("", "", "", "", "a picture of", "a drawing of", "an illustration of")
_RELATION_PHRASES = {
    Relation.NEXT_TO: ("{a} next to {b}", "{a} beside {b}", "{a} and {b}"),
    Relation.LEFT_OF: (
        "{a} to the left of {b}",
        "{a} left of {b}",
        "{a} on the left of {b}",
        "{a} on the left and {b} on the right",
    ),
    Relation.RIGHT_OF: (
        "{a} to the right of {b}",
        "{a} right of {b}",
        "{a} on the right of {b}",
        "{a} on the right and {b} on the left",
    ),
    Relation.ABOVE: ("{a} above {b}", "{a} over {b}", "{a} on top of {b}"),
    Relation.BELOW: ("{a} below {b}", "{a} under {b}", "{a} beneath {b}"),
}
_GROUND_PHRASES = (
    "{subject} on a {ground} background",
    "{subject} on a {ground} background",
    "{subject} on a {ground} ground",
    "{subject} on {ground}",
    "{subject} against a {ground} background",
    "{subject} with a {ground} background",
    "{subject}, {ground} background",
    "{subject} in front of a {ground} background",
)


def caption(scene: Scene, rng: random.Random) -> str:
    """One of the ways to say what a scene shows: "a small green car on a blue background"."""
    opening = rng.choice(_OPENINGS)
    said = f"{opening} {_subject(scene, rng)}".strip()
    if scene.ground is None:
        return said
    phrase = rng.choice(_GROUND_PHRASES).format(subject=said, ground=scene.ground)
    return phrase.replace(" a orange ", " an orange ")


def _subject(scene: Scene, rng: random.Random) -> str:
    match scene.subject:
        case Single(figure, scale):
            return _with_article(figure, rng.choice(_SCALE_WORDS[scale]))
        case Pair(first, relation, second):
            phrase = rng.choice(_RELATION_PHRASES[relation])
            return phrase.format(a=_with_article(first), b=_with_article(second))
        case Count(figure, count):
            number = rng.choice(_NUMBER_WORDS[count])
            return _words(number, figure.color, figure.thing.plural)


def _with_article(figure: Figure, adjective: str = "") -> str:
    words = _words(adjective, figure.color, figure.thing.name)
    article = "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}"


def _words(*words: str | None) -> str:
    return " ".join(word for word in words if word)


def vocabulary() -> list[str]:
    """Every word and mark that a caption can hold, sorted."""
    texts = [*_OPENINGS, *_GROUND_PHRASES, *COLORS, *GROUNDS, "a", "an"]
    texts += [phrase for phrases in _RELATION_PHRASES.values() for phrase in phrases]
    texts += [word for words in _SCALE_WORDS.values() for word in words]
    texts += [word for words in _NUMBER_WORDS.values() for word in words]
    texts += [name for thing in THINGS.values() for name in (thing.name, thing.plural)]
    words = {word for text in texts for word in text.replace(",", " , ").split()}
    return sorted(word for word in words if not word.startswith("{"))
