"""Which stage steps next."""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from workers.lane import Lane
from workers.turns import PATIENCE, Turns


@dataclass
class Waiting:
    stage: str
    has_work: bool = True


def turns(*lanes: Waiting) -> Turns:
    return Turns(cast("list[Lane]", list(lanes)))


def stage_of(lane: Lane | None) -> str | None:
    return None if lane is None else lane.stage


def test_the_most_advanced_stage_with_work_goes_first() -> None:
    base, upper = Waiting("64"), Waiting("256")
    order = turns(Waiting("text", has_work=False), base, upper)
    assert stage_of(order.next()) == "256"
    upper.has_work = False
    assert stage_of(order.next()) == "64"


def test_no_work_is_no_turn() -> None:
    assert turns(Waiting("64", has_work=False)).next() is None


def test_an_earlier_stage_does_not_starve() -> None:
    order = turns(Waiting("text"), Waiting("64"), Waiting("256"))
    chosen = [lane.stage for lane in (order.next() for _ in range(40)) if lane]
    for stage in ("text", "64"):
        turns_of_it = [i for i, name in enumerate(chosen) if name == stage]
        gaps = [after - before for before, after in pairwise(turns_of_it)]
        assert turns_of_it[0] <= PATIENCE + 1
        assert max(gaps) <= PATIENCE + 2


def test_waiting_without_work_earns_no_turn() -> None:
    base, upper = Waiting("64", has_work=False), Waiting("256")
    order = turns(base, upper)
    for _ in range(2 * PATIENCE):
        assert stage_of(order.next()) == "256"
    base.has_work = True
    assert stage_of(order.next()) == "256"
