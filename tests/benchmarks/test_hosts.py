"""What is made of the seconds of two worker hosts, and of one."""

from benchmarks.hosts import turn


def test_two_hosts_are_compared_with_one_and_with_what_the_machine_allows() -> None:
    row = turn(96, seconds=(48.0, 25.0), bare_per_s=(2.0, 3.9))
    assert row == {
        "one pictures/s": 2.0,
        "two pictures/s": 3.84,
        "two / one": 1.92,
        "bare two / one": 1.95,
    }
