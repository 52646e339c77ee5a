"""Says a scene in words, in one of the languages that picture-book knows."""

import random
from enum import StrEnum

from model.picture_book import chinese, english
from model.picture_book.scenes import Scene


class Language(StrEnum):
    ENGLISH = "en"
    CHINESE = "zh"


_LANGUAGES = {Language.ENGLISH: english, Language.CHINESE: chinese}


def caption(
    scene: Scene, rng: random.Random, language: Language | None = None, unseen: bool = False
) -> str:
    """One of the ways to say what a scene shows: "a small green car on a blue background".

    A language of None is either; unseen: in wording that training never shows.
    """
    words = _LANGUAGES[language or rng.choice(tuple(Language))]
    said: str = words.say(scene, words.UNSEEN if unseen else words.SEEN, rng)
    return said


def vocabulary() -> list[str]:
    """Every word and mark that a caption can hold, in any language, sorted."""
    return sorted(english.vocabulary() | chinese.vocabulary())
