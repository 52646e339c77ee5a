"""What is random in a training step: a function of the run's seed and of each example's position.

So the same on however many devices, in however many parts, and after resuming; but a network's own
dropout depends on the parts, whose first example it follows from.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Draws:
    """The random numbers of some examples of one step.

    strata: [B] in [0, 1), one in each of as many equal parts of it as the step has examples: less
    variance than independent draws (Kingma et al. 2021, app. I.1).
    """

    generators: tuple[Generator, ...]
    strata: Tensor

    @classmethod
    def of(cls, seed: int, positions: range, batch: int) -> "Draws":
        """For the examples at some positions of one step of `batch` examples."""
        step = positions.start // batch
        of_step = _generator(seed, step, batch)
        order = torch.randperm(batch, generator=of_step)
        strata = (order + torch.rand(batch, generator=of_step)) / batch
        start = positions.start - step * batch
        return cls(
            generators=tuple(_generator(seed, position) for position in positions),
            strata=strata[start : start + len(positions)].clamp(max=1 - 1e-6),
        )

    def normal(self, *shape: int) -> Tensor:
        """[B, *shape], standard normal."""
        return self._each(lambda generator: torch.randn(shape, generator=generator))

    def uniform(self) -> Tensor:
        """[B] in [0, 1)."""
        return self._each(lambda generator: torch.rand((), generator=generator))

    def below(self, limit: int, *shape: int) -> Tensor:
        """[B, *shape] int64 in [0, limit)."""
        return self._each(lambda generator: torch.randint(limit, shape, generator=generator))

    def seed_dropout(self) -> None:
        """Whatever draws from torch's own generator, as dropout does, follows from them too."""
        torch.manual_seed(self.generators[0].initial_seed())

    def _each(self, draw: Callable[[Generator], Tensor]) -> Tensor:
        return torch.stack([draw(generator) for generator in self.generators])


def _generator(*numbers: int) -> Generator:
    """Far apart for numbers that are near; of a seed as it is, torch reads but the last 32 bits."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=4).digest()
    return Generator().manual_seed(int.from_bytes(digest))
