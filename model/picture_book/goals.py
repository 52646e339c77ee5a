"""Six figures of what picture-book should reach, from judged pictures. Looks at no picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from model.picture_book.captions import Language
from model.picture_book.evaluate import Judged, markdown, percent, wilson_interval
from model.picture_book.held_out import is_held_out
from model.picture_book.scenes import Count, Pair, Single


@dataclass(frozen=True)
class Reached:
    """A rate, or a difference of two, and where it lies with 95 % confidence."""

    pictures: int
    """That it was counted on; for a difference, pairs of pictures."""
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Goal:
    """What should be reached, and what was. reached: None where nothing was asked that tells."""

    name: str
    wanted: float
    reached: Reached | None

    @property
    def is_met(self) -> bool:
        """By the figure itself, wherever its interval ends."""
        return self.reached is not None and self.reached.value >= self.wanted


def goals(judged: Sequence[Judged]) -> tuple[Goal, ...]:
    """The six: what they count, in pictures of whatever category.

    single: one thing asked for; it is there, once, whatever its size, colour and ground.
    colour: a thing asked for in a named colour, alone or among others; all have their colours.
    pair: two things asked for; both are there, once, and stand as was said.
    count: several of a thing asked for; as many are there, and nothing else, of whatever colour.
    ground: any picture; its ground is the one that was named, or that goes without saying.
    Chinese: right pictures of Chinese prompts less those of English ones, on what was asked in
    both, with one seed; right is right in every aspect. Not to be lower than 2 points.
    """
    rates = (Goal(asked.name, asked.wanted, _rate(asked, judged)) for asked in _RATES)
    return *rates, Goal("Chinese less English", -0.02, _difference(judged))


def goals_table(judged: Sequence[Judged]) -> str:
    """A Markdown table of the goals: on all pictures, and on those of held-out combinations."""
    held_out = [each for each in judged if is_held_out(each.prompt.scene)]
    titles = ["goal", "wanted"]
    for where in ("", "held out, "):
        titles += [f"{where}pictures", f"{where}reached", f"{where}95 % interval", f"{where}met"]
    rows = [
        [whole.name, f"{100 * whole.wanted:g} %", *_cells(whole), *_cells(unseen)]
        for whole, unseen in zip(goals(judged), goals(held_out), strict=True)
    ]
    return markdown(titles, rows)


def _cells(goal: Goal) -> tuple[str, ...]:
    if goal.reached is None:
        return ("0", "", "", "")
    low, high = (percent(end) for end in goal.reached.interval)
    reached = percent(goal.reached.value)
    return str(goal.reached.pictures), reached, f"{low} to {high}", "yes" if goal.is_met else "no"


@dataclass(frozen=True)
class _Rate:
    """A goal that counts some pictures, and those of them that are as wanted."""

    name: str
    wanted: float
    counts: Callable[[Judged], bool]
    is_right: Callable[[Judged], bool]


def _shows_what_was_asked(each: Judged) -> bool:
    return each.verdict.things and each.verdict.count


def _names_a_color(each: Judged) -> bool:
    return any(figure.color for figure in each.prompt.scene.subject.figures)


_RATES = (
    _Rate(
        name="single thing",
        wanted=0.98,
        counts=lambda each: isinstance(each.prompt.scene.subject, Single),
        is_right=_shows_what_was_asked,
    ),
    _Rate(
        name="color of a thing",
        wanted=0.95,
        counts=_names_a_color,
        is_right=lambda each: each.verdict.colors,
    ),
    _Rate(
        name="pair placed",
        wanted=0.90,
        counts=lambda each: isinstance(each.prompt.scene.subject, Pair),
        is_right=lambda each: each.verdict.placing,
    ),
    _Rate(
        name="count",
        wanted=0.90,
        counts=lambda each: isinstance(each.prompt.scene.subject, Count),
        is_right=_shows_what_was_asked,
    ),
    _Rate(
        name="ground",
        wanted=0.99,
        counts=lambda each: True,
        is_right=lambda each: each.verdict.ground,
    ),
)


def _rate(asked: _Rate, judged: Sequence[Judged]) -> Reached | None:
    verdicts = [asked.is_right(each) for each in judged if asked.counts(each)]
    if not verdicts:
        return None
    right, count = sum(verdicts), len(verdicts)
    return Reached(count, right / count, wilson_interval(right, count))


def _difference(judged: Sequence[Judged]) -> Reached | None:
    english, chinese = (
        {
            (each.prompt.scene, each.prompt.seed): each.verdict.right
            for each in judged
            if each.prompt.language == language
        }
        for language in (Language.ENGLISH, Language.CHINESE)
    )
    both = english.keys() & chinese.keys()
    if not both:
        return None
    gained = sum(chinese[key] and not english[key] for key in both)
    lost = sum(english[key] and not chinese[key] for key in both)
    interval = paired_interval(gained, lost, len(both))
    return Reached(len(both), (gained - lost) / len(both), interval)


def paired_interval(gained: int, lost: int, pairs: int, z: float = 1.96) -> tuple[float, float]:
    """Where the difference of two rates on the same things lies, with 95 % confidence.

    gained: pairs that only the first got right; lost: those that only the second did. Wald's
    interval after half a pair is added to each of the four cells (Agresti & Min 2005).
    """
    gained_plus, lost_plus, pairs_plus = gained + 0.5, lost + 0.5, pairs + 2
    difference = gained_plus - lost_plus
    spread = z * sqrt(gained_plus + lost_plus - difference * difference / pairs_plus)
    low, high = (difference - spread) / pairs_plus, (difference + spread) / pairs_plus
    return max(-1.0, low), min(1.0, high)
