"""What is seen while a load runs."""

import pytest

from benchmarks.load.display import line, shown
from benchmarks.load.tally import Tally


def test_the_line_says_how_the_load_stands() -> None:
    tally = Tally()
    tally.in_flight = 3
    tally.error("job failed")
    for _ in range(5):
        tally.success({"images": [], "timings": []})
    assert line(tally, 10, 2.0) == "2 s: 3 in flight, 6 of 10 done, 1 errors, 2.50/s"
    assert line(tally, None, 2.0).startswith("2 s: 3 in flight, 6 done, ")


def test_where_no_one_looks_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(Tally(), 10):
        pass
    assert capsys.readouterr() == ("", "")
