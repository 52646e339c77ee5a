"""Contenders take turns, and a slow round counts for both."""

from benchmarks.rounds import interleaved, speedup


def test_contenders_take_turns_after_a_warm_up() -> None:
    ran: list[str] = []
    contenders = {"ours": lambda: ran.append("ours"), "theirs": lambda: ran.append("theirs")}
    seconds = interleaved(contenders, rounds=2)
    assert ran == ["ours", "theirs"] * 3
    assert [len(seconds["ours"]), len(seconds["theirs"])] == [2, 2]


def test_a_round_that_was_slow_for_both_changes_nothing() -> None:
    seconds = {"ours": [1.0, 10.0, 1.0], "theirs": [3.0, 30.0, 3.1]}
    assert speedup(seconds, "ours", "theirs") == 3.0
