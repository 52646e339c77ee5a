"""How figures are summed up and shown."""

import pytest

from benchmarks.figures import judge, percentile, table


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 15), (0.05, 15), (0.3, 20), (0.4, 20), (0.5, 35), (1.0, 50)]
)
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    """The nearest-rank method with its textbook example."""
    assert percentile([50, 15, 20, 40, 35], share) == value


def test_the_slowest_two_of_forty_are_beyond_the_95th_percentile() -> None:
    assert percentile(range(1, 41), 0.95) == 38


def test_a_table_has_a_line_for_each_row() -> None:
    rows = [{"images": 1, "ratio": 2.5}, {"images": 64, "ratio": 3.25}]
    assert table(rows).splitlines() == [
        "| images | ratio |",
        "| --: | --: |",
        "| 1 | 2.5 |",
        "| 64 | 3.25 |",
    ]


def test_a_missed_goal_ends_the_command_with_1() -> None:
    judge("load", True)
    with pytest.raises(SystemExit, match="load: the goal is missed"):
        judge("load", False)
