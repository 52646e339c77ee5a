"""Says a scene in Chinese: measure words, colour and size before the thing, the ground anywhere."""

import random
import re

from model.picture_book.phrases import Phrases
from model.picture_book.scenes import Figure, Relation, Scale, Scene
from model.picture_book.things import CHINESE_COLORS, THINGS

SEEN = Phrases(
    openings=(
        *("{subject}",) * 6,
        "画{subject}",
        "一张{subject}的图片",
        "一幅{subject}的画",
        "一幅{subject}的插画",
    ),
    relations={
        Relation.NEXT_TO: (
            "{a}在{b}旁边",
            "{a}在{b}的旁边",
            "{a}和{b}",
            "{a}与{b}",
            "{b}旁边有{a}",
            "{b}的旁边是{a}",
        ),
        Relation.LEFT_OF: (
            "{a}在{b}的左边",
            "{a}在{b}左边",
            "{a}在{b}左侧",
            "{b}的左边有{a}",
            "左边是{a},右边是{b}",
            "右边是{b},左边是{a}",
            "{b}的左边是{a}",
            "{a}在左边,{b}在右边",
        ),
        Relation.RIGHT_OF: (
            "{a}在{b}的右边",
            "{a}在{b}右边",
            "{a}在{b}右侧",
            "{b}的右边有{a}",
            "右边是{a},左边是{b}",
            "左边是{b},右边是{a}",
            "{b}的右边是{a}",
            "{a}在右边,{b}在左边",
        ),
        Relation.ABOVE: (
            "{a}在{b}上面",
            "{a}在{b}的上面",
            "{a}在{b}的上方",
            "{b}上面有{a}",
            "上面是{a},下面是{b}",
            "下面是{b},上面是{a}",
            "{b}的上面是{a}",
        ),
        Relation.BELOW: (
            "{a}在{b}下面",
            "{a}在{b}的下面",
            "{a}在{b}的下方",
            "{b}下面有{a}",
            "下面是{a},上面是{b}",
            "上面是{b},下面是{a}",
            "{b}的下面是{a}",
        ),
    },
    grounds=(
        *("{subject},{ground}背景",) * 2,
        "{subject}在{ground}背景上",
        "{subject}在{ground}的背景上",
        "{ground}背景上的{subject}",
        "{ground}背景上有{subject}",
        "{ground}背景,{subject}",
        "背景是{ground},{subject}",
    ),
)
UNSEEN = Phrases(
    openings=("{subject}",),
    relations={
        Relation.NEXT_TO: ("在{b}旁边有{a}", "在{b}的旁边是{a}"),
        Relation.LEFT_OF: ("{b}的左侧是{a}", "右侧是{b},左侧是{a}"),
        Relation.RIGHT_OF: ("{b}的右侧是{a}", "左侧是{b},右侧是{a}"),
        Relation.ABOVE: ("{b}的上方是{a}", "下方是{b},上方是{a}"),
        Relation.BELOW: ("{b}的下方是{a}", "上方是{b},下方是{a}"),
    },
    grounds=("{subject},背景是{ground}", "{subject},背景{ground}"),
)
"""Wording that training never shows, in words that it does."""

_SCALES = {
    Scale.SMALL: ("小", "小小的", "很小的"),
    Scale.NORMAL: ("",),
    Scale.BIG: ("大", "巨大的", "很大的"),
}
_NUMBERS = {2: ("两", "2"), 3: ("三", "3"), 4: ("四", "4")}
_COMMON_MEASURE, _COMMON_MEASURE_SHARE = "个", 0.15
_BARE_SHARE = 0.2


def say(scene: Scene, phrases: Phrases, rng: random.Random) -> str:
    """Say a scene: 一辆绿色的小汽车,蓝色背景."""
    subject = phrases.say_subject(scene.subject, rng, _one, _several)
    said = rng.choice(phrases.openings).format(subject=subject)
    if scene.ground is not None:
        ground = f"{CHINESE_COLORS[scene.ground]}色"
        said = rng.choice(phrases.grounds).format(subject=said, ground=ground)
    return said.replace("画画", "画")


def _several(figure: Figure, count: int, rng: random.Random) -> str:
    number = rng.choice(_NUMBERS[count])
    return f"{number}{_measure(figure, rng)}{_color(figure, rng)}{figure.thing.chinese}"


def _one(figure: Figure, scale: Scale, rng: random.Random) -> str:
    number = "" if rng.random() < _BARE_SHARE else f"一{_measure(figure, rng)}"
    size, color = rng.choice(_SCALES[scale]), _color(figure, rng)
    described = f"{size}{color}" if rng.random() < 0.5 else f"{color}{size}"
    return f"{number}{described}{figure.thing.chinese}"


def _measure(figure: Figure, rng: random.Random) -> str:
    return _COMMON_MEASURE if rng.random() < _COMMON_MEASURE_SHARE else figure.thing.measure


def _color(figure: Figure, rng: random.Random) -> str:
    if figure.color is None:
        return ""
    color = CHINESE_COLORS[figure.color]
    return rng.choice((f"{color}色的", f"{color}色的", f"{color}色", color))


def vocabulary() -> set[str]:
    """Every word and mark that can be said; at each place the longest one counts."""
    places = re.compile(r"\{\w+\}|的|,")
    texts = [*SEEN.texts(), *UNSEEN.texts(), *(s for scales in _SCALES.values() for s in scales)]
    words = {word for text in texts for word in _split(places.sub(" ", text))}
    words |= {"的", ",", "一", _COMMON_MEASURE, *CHINESE_COLORS.values()}
    words |= {f"{color}色" for color in CHINESE_COLORS.values()}
    words |= {number for numbers in _NUMBERS.values() for number in numbers}
    words |= {word for thing in THINGS.values() for word in (thing.chinese, thing.measure)}
    return words


def _split(text: str) -> list[str]:
    """What is left of a phrase without its places, apart into words."""
    return re.findall(
        "旁边|[左右]边|[左右]侧|[上下]面|[上下]方|背景|图片|插画|.", text.replace(" ", "")
    )
