"""Which positions each process takes."""

from itertools import chain

import pytest
import torch

from model.errors import InvalidTraining
from model.training.feed import Feed, Share
from tests.model.training.regression import training


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 1), (2, 1), (1, 4), (2, 4), (3, 2)])
def test_all_processes_together_take_every_position_once(processes: int, accumulation: int) -> None:
    told = training(images=96, batch=24, accumulation=accumulation)
    shares = [list(Share(told, i, processes).positions(1)) for i in range(processes)]
    for step in (0, 1, 2):
        parts = [share[step * accumulation : (step + 1) * accumulation] for share in shares]
        taken = sorted(chain(*chain(*parts)))
        assert taken == list(range((step + 1) * 24, (step + 2) * 24))
    assert {len(part) for part in chain(*shares)} == {24 // processes // accumulation}


def test_a_batch_that_cannot_be_cut_is_told() -> None:
    with pytest.raises(InvalidTraining, match=r"batch: 10 cannot .* take a multiple of 12"):
        Share(training(batch=10, accumulation=4), processes=3)


class Broken:
    def __getitem__(self, position: int) -> int:
        if position == 5:
            raise InvalidTraining("5.png is broken: leave it out")
        return position


class Numbers(list[int]):
    def to(self, device: torch.device) -> "Numbers":
        return self


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_example_is_told_as_it_is_whoever_read_it(workers: int) -> None:
    steps = Feed(Broken(), Numbers, workers).steps(
        Share(training(images=8, batch=4)), 0, torch.device("cpu")
    )
    assert [numbers for numbers, _ in next(steps)] == [[0, 1, 2, 3]]
    with pytest.raises(InvalidTraining, match=r"^5\.png is broken: leave it out$"):
        next(steps)
