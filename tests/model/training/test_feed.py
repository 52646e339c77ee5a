"""Which positions each process takes."""

from itertools import chain

import pytest

from model.errors import InvalidTraining
from model.training.feed import Share
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
