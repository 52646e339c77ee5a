"""The command that runs the cases."""

import sys

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.figures import judge


def test_a_missed_goal_is_told_when_all_cases_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []

    def case(name: str, is_met: bool) -> None:
        run.append(name)
        judge(name, is_met)

    cases = {"slow": lambda: case("slow", False), "fast": lambda: case("fast", True)}
    monkeypatch.setattr(benchmarks, "CASES", cases)
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(SystemExit, match=r"^slow: the goal is missed$"):
        benchmarks.main()
    assert run == ["slow", "fast"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", "fast"])
    with pytest.raises(SystemExit) as exits:
        benchmarks.main()
    assert exits.value.code is None, "status 0"
