"""Says a scene in English."""

import random
import re

from model.picture_book.phrases import Phrases
from model.picture_book.scenes import Figure, Relation, Scale, Scene
from model.picture_book.things import COLORS, GROUNDS, THINGS

SEEN = Phrases(
    openings=(
        *("{subject}",) * 6,
        "a picture of {subject}",
        "a drawing of {subject}",
        "an illustration of {subject}",
        "an image of {subject}",
        "draw {subject}",
    ),
    relations={
        Relation.NEXT_TO: (
            "{a} next to {b}",
            "{a} beside {b}",
            "{a} and {b}",
            "{a} with {b}",
            "{a} is next to {b}",
            "next to {b} is {a}",
        ),
        Relation.LEFT_OF: (
            "{a} to the left of {b}",
            "{a} left of {b}",
            "{a} on the left of {b}",
            "{a} is to the left of {b}",
            "{a} on the left and {b} on the right",
            "{a} on the left , {b} on the right",
            "to the left of {b} is {a}",
            "on the left {a} , on the right {b}",
        ),
        Relation.RIGHT_OF: (
            "{a} to the right of {b}",
            "{a} right of {b}",
            "{a} on the right of {b}",
            "{a} is to the right of {b}",
            "{a} on the right and {b} on the left",
            "{a} on the right , {b} on the left",
            "to the right of {b} is {a}",
            "on the right {a} , on the left {b}",
        ),
        Relation.ABOVE: (
            "{a} above {b}",
            "{a} over {b}",
            "{a} on top of {b}",
            "{a} is above {b}",
            "{a} at the top and {b} at the bottom",
            "above {b} is {a}",
            "at the top {a} , at the bottom {b}",
        ),
        Relation.BELOW: (
            "{a} below {b}",
            "{a} under {b}",
            "{a} beneath {b}",
            "{a} is below {b}",
            "{a} at the bottom and {b} at the top",
            "below {b} is {a}",
            "at the bottom {a} , at the top {b}",
        ),
    },
    grounds=(
        *("{subject} on a {ground} background",) * 2,
        "{subject} on a {ground} ground",
        "{subject} on {ground}",
        "{subject} against a {ground} background",
        "{subject} with a {ground} background",
        "{subject} , {ground} background",
        "{subject} in front of a {ground} background",
        "on a {ground} background , {subject}",
    ),
)
UNSEEN = Phrases(
    openings=("{subject}",),
    relations={
        Relation.NEXT_TO: ("beside {b} is {a}", "{a} and {b} beside"),
        Relation.LEFT_OF: ("left of {b} is {a}", "left {a} , right {b}"),
        Relation.RIGHT_OF: ("right of {b} is {a}", "right {a} , left {b}"),
        Relation.ABOVE: ("over {b} is {a}", "top {a} , bottom {b}"),
        Relation.BELOW: ("under {b} is {a}", "bottom {a} , top {b}"),
    },
    grounds=("on {ground} , {subject}", "with a {ground} background , {subject}"),
)
"""Wording that training never shows, in words that it does."""

_SCALES = {
    Scale.SMALL: ("small", "little", "tiny"),
    Scale.NORMAL: ("",),
    Scale.BIG: ("big", "large", "huge"),
}
_NUMBERS = {2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
_ARTICLES, _ARTICLE_SHARES = ("a", "", "the", "one"), (0.75, 0.13, 0.07, 0.05)


def say(scene: Scene, phrases: Phrases, rng: random.Random) -> str:
    """Say a scene: "a small green car on a blue background"."""
    subject = phrases.say_subject(scene.subject, rng, _one, _several)
    said = rng.choice(phrases.openings).format(subject=subject)
    if scene.ground is not None:
        said = rng.choice(phrases.grounds).format(subject=said, ground=scene.ground)
    return re.sub(r"\ba(?= [aeiou])", "an", said).replace(" ,", ",")


def _one(figure: Figure, scale: Scale, rng: random.Random) -> str:
    (article,) = rng.choices(_ARTICLES, _ARTICLE_SHARES)
    return _words(article, rng.choice(_SCALES[scale]), figure.color, figure.thing.name)


def _several(figure: Figure, count: int, rng: random.Random) -> str:
    return _words(rng.choice(_NUMBERS[count]), figure.color, figure.thing.plural)


def _words(*words: str | None) -> str:
    return " ".join(word for word in words if word)


def vocabulary() -> set[str]:
    """Every word and mark that can be said."""
    texts = [*SEEN.texts(), *UNSEEN.texts(), *COLORS, *GROUNDS, *_ARTICLES, "an"]
    texts += [word for words in (*_SCALES.values(), *_NUMBERS.values()) for word in words]
    texts += [name for thing in THINGS.values() for name in (thing.name, thing.plural)]
    return {word for text in texts for word in text.split() if not word.startswith("{")}
