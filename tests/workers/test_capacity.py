"""Rows are as set, or as found; a bucket that is asked for is the only one."""

from pathlib import Path

import pytest

from model.cascade import Cascade
from workers.capacity import COMPILED_BUCKETS, find_capacities, network_options
from workers.settings import WorkerSettings


@pytest.fixture
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


def test_each_loaded_stage_is_tried(tiny_cascade: Path) -> None:
    upper = Cascade.load(tiny_cascade, "cpu,float32", stages=["16"])
    found = find_capacities(upper, WorkerSettings())
    assert set(found) == {"16"}
    assert found["16"].rows >= 1
    assert found["16"].row_ms > 0


def test_rows_that_are_set_are_not_doubted(cascade: Cascade) -> None:
    found = find_capacities(cascade, WorkerSettings(rows=6))
    assert [capacity.rows for capacity in found.values()] == [6, 6]


def test_exact_rows_are_the_one_bucket_and_the_capacity(tiny_cascade: Path) -> None:
    settings = WorkerSettings(exact_rows=3)
    cascade = Cascade.load(tiny_cascade, "cpu,float32", network=network_options(settings))
    assert [stage.network.buckets for stage in cascade.stages] == [(3,), (3,)]
    found = find_capacities(cascade, settings)
    assert [capacity.rows for capacity in found.values()] == [3, 3]


def test_compiled_networks_have_buckets() -> None:
    assert network_options(WorkerSettings(compile=True)).buckets == COMPILED_BUCKETS
    assert network_options(WorkerSettings(compile=True, exact_rows=8)).buckets == (8,)
    assert network_options(WorkerSettings()).buckets is None


def test_rows_are_set_in_one_way() -> None:
    with pytest.raises(ValueError, match="leave rows out"):
        WorkerSettings(rows=4, exact_rows=4)
