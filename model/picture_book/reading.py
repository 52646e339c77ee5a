"""Teaches the text encoder to read, before any picture is drawn: what is where, in what colour.

Each noun's token learns to say its thing, the role and the colour of that, and the last token to
say the ground: what no token has to say, the encoder forgets. A denoising loss alone teaches this
late: the U-Net long draws the right things at the wrong places. Knows nothing of pixels; the
encoder is frozen afterwards.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BatchEncoding, PreTrainedTokenizerBase, T5EncoderModel

from model.errors import InvalidTraining
from model.loading.weights import listed
from model.picture_book.captions import caption
from model.picture_book.held_out import training_scene
from model.picture_book.scenes import Count, Figure, Pair, Relation, Scale, Scene, Single
from model.picture_book.things import COLORS, GROUNDS, THINGS
from model.training.randomness import Draws
from model.training.tasks import Errors

_ELSEWHERE = -100
"""What cross entropy ignores: a token that is not a noun."""


class Role(StrEnum):
    """The part that a thing plays in its scene."""

    SMALL = "small"
    NORMAL = "normal"
    BIG = "big"
    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"
    TWO = "2"
    THREE = "3"
    FOUR = "4"


_PAIR_ROLES = {
    Relation.NEXT_TO: (Role.LEFT, Role.RIGHT),
    Relation.LEFT_OF: (Role.LEFT, Role.RIGHT),
    Relation.RIGHT_OF: (Role.RIGHT, Role.LEFT),
    Relation.ABOVE: (Role.TOP, Role.BOTTOM),
    Relation.BELOW: (Role.BOTTOM, Role.TOP),
}
_THINGS, _ROLES, _COLORS, _GROUNDS = (
    {name: index for index, name in enumerate(names)} for names in (THINGS, Role, COLORS, GROUNDS)
)


def roles(scene: Scene) -> dict[Figure, Role]:
    """The part of each thing of a scene."""
    match scene.subject:
        case Single(figure, scale):
            sizes = {Scale.SMALL: Role.SMALL, Scale.NORMAL: Role.NORMAL, Scale.BIG: Role.BIG}
            return {figure: sizes[scale]}
        case Pair(first, relation, second):
            return dict(zip((first, second), _PAIR_ROLES[relation], strict=True))
        case Count(figure, count):
            return {figure: Role(str(count))}


@dataclass(frozen=True)
class Said:
    """A scene and a caption of it."""

    scene: Scene
    caption: str


class Captions:
    """Random scenes that are not held out, in words of any language; see Examples."""

    def __init__(self, seed: int):
        self._seed = seed

    def __getitem__(self, position: int) -> Said:
        rng = random.Random(f"{self._seed}/{position}")
        scene = training_scene(rng)
        return Said(scene, caption(scene, rng))


class SaidBatch(tuple[Said, ...]):
    """A batch of captions, which no device holds."""

    def to(self, device: torch.device) -> "SaidBatch":
        """The same: tokens are made where the encoder is."""
        return self


@dataclass(frozen=True)
class Answers:
    """Thing, role and colour of each token, ground of each caption: logits, or what is right.

    thing: [B, T, things], role: [B, T, roles], color: [B, T, colours], ground: [B, grounds]. What
    is right lacks the last dimension, and has -100 where a token is no noun.
    """

    thing: Tensor
    role: Tensor
    color: Tensor
    ground: Tensor


class ReadingTask(nn.Module):
    """Text encoder, and what is asked of its tokens; no picture is drawn."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, encoder: T5EncoderModel):
        super().__init__()
        width = encoder.config.d_model
        self.encoder = encoder
        self.thing = nn.Linear(width, len(_THINGS))
        self.role = nn.Linear(width, len(_ROLES))
        self.color = nn.Linear(width, len(_COLORS))
        self.ground = nn.Linear(width, len(_GROUNDS))
        self._tokenizer = tokenizer
        self._nouns = _noun_tokens(tokenizer)

    def forward(self, batch: SaidBatch, draws: Draws) -> Errors:
        answers, right = self.read(batch), self.right(batch)
        errors = (
            _cross_entropy(answers.thing, right.thing)
            + _cross_entropy(answers.role, right.role)
            + _cross_entropy(answers.color, right.color)
            + F.cross_entropy(answers.ground, right.ground, reduction="none")
        )
        return Errors(objective=errors, plain=errors.detach())

    def read(self, batch: Sequence[Said]) -> Answers:
        """What the tokens answer."""
        tokens = self._tokens(batch)
        hidden = self.encoder(tokens.input_ids, tokens.attention_mask)[0]
        ends = tokens.attention_mask.sum(dim=1) - 1
        last = hidden[torch.arange(len(batch), device=hidden.device), ends]
        return Answers(self.thing(hidden), self.role(hidden), self.color(hidden), self.ground(last))

    def right(self, batch: Sequence[Said]) -> Answers:
        """What they should answer."""
        ids = self._tokens(batch).input_ids
        thing, role, color = (torch.full_like(ids, _ELSEWHERE) for _ in range(3))
        for row, said in enumerate(batch):
            by_thing = {each.thing.name: (each, role) for each, role in roles(said.scene).items()}
            for column, token in enumerate(ids[row].tolist()):
                if token in self._nouns:
                    figure, part = by_thing[self._nouns[token]]
                    thing[row, column] = _THINGS[figure.thing.name]
                    role[row, column] = _ROLES[part]
                    color[row, column] = _COLORS[figure.color_name]
        grounds = [_GROUNDS[said.scene.ground_name] for said in batch]
        return Answers(thing, role, color, torch.tensor(grounds, device=ids.device))

    def _tokens(self, batch: Sequence[Said]) -> BatchEncoding:
        captions = [said.caption for said in batch]
        return self._tokenizer(captions, padding=True, return_tensors="pt").to(self.encoder.device)


def _cross_entropy(logits: Tensor, right: Tensor) -> Tensor:
    """[B]: the mean over the tokens that are asked."""
    errors = F.cross_entropy(logits.mT.float(), right, ignore_index=_ELSEWHERE, reduction="none")
    return errors.sum(dim=1) / (right != _ELSEWHERE).sum(dim=1).clamp(min=1)


def _noun_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The thing that a token names; of a name of two words, the last one does.

    Raises InvalidTraining where the tokenizer does not know it.
    """
    nouns = {
        name.split()[-1]: thing.name
        for thing in THINGS.values()
        for name in (thing.name, thing.plural, thing.chinese)
    }
    ids = {noun: tokenizer.convert_tokens_to_ids(noun) for noun in nouns}
    if unknown := [noun for noun, token in ids.items() if token == tokenizer.unk_token_id]:
        raise InvalidTraining(
            f"text.path: its tokenizer does not know {listed(unknown)}: leave it out, and a new"
            " encoder is made that does"
        )
    return {ids[noun]: thing for noun, thing in nouns.items()}
