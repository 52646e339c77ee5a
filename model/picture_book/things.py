"""The vocabulary of the world: its things and its colours."""

from dataclasses import dataclass

COLORS = {
    "red": "#e63946",
    "orange": "#f77f00",
    "yellow": "#ffd23f",
    "green": "#43aa4b",
    "blue": "#2f6fde",
    "purple": "#8e44ad",
    "pink": "#ff8fab",
    "brown": "#8d5524",
    "black": "#2b2d42",
    "white": "#ffffff",
    "gray": "#9aa0a6",
    "teal": "#1b998b",
}
"""What a thing may be painted in, by name."""

GROUNDS = {
    "white": "#ffffff",
    "red": "#e8505b",
    "orange": "#f9a03f",
    "yellow": "#ffe066",
    "green": "#7bc67e",
    "blue": "#5b8def",
    "purple": "#a678c9",
    "pink": "#ffb3c6",
    "brown": "#a9744f",
    "black": "#20222f",
    "gray": "#c3c8ce",
    "teal": "#4db6ac",
}
"""Backgrounds, a little softer than the things' own colours, so that a thing stands out."""


@dataclass(frozen=True)
class Thing:
    """A thing that can be drawn: its name, its plural, and the name of its natural main colour."""

    name: str
    color: str
    plural: str


_NATURAL_COLORS = {
    "red": "apple strawberry watermelon mushroom ladybug crab car rocket balloon heart",
    "orange": "carrot cat fish sailboat",
    "yellow": "banana lemon pizza sun moon star duck bee bus house key bell",
    "green": "pear tree cactus leaf frog turtle train",
    "blue": "cloud whale butterfly airplane ball cup",
    "purple": "flower octopus kite",
    "pink": "ice_cream donut pig gift",
    "brown": "cake dog bear owl snail hammer",
    "black": "penguin hat",
    "white": "ghost",
    "gray": "rabbit elephant robot castle",
    "teal": "umbrella",
}
_IRREGULAR_PLURALS = {
    "fish": "fish",
    "leaf": "leaves",
    "octopus": "octopuses",
    "bus": "buses",
    "strawberry": "strawberries",
    "butterfly": "butterflies",
    "cactus": "cactuses",
}


def _thing(name: str, color: str) -> Thing:
    return Thing(name=name, color=color, plural=_IRREGULAR_PLURALS.get(name, f"{name}s"))


THINGS = {
    thing.name: thing
    for color, names in _NATURAL_COLORS.items()
    for thing in (_thing(name.replace("_", " "), color) for name in names.split())
}
"""Every thing by its name."""
