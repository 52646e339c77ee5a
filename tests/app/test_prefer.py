"""Prefer: wait=N, as RFC 7240 lets clients write it."""

import pytest

from app.prefer import wait_s


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([""], None),
        (["respond-async"], None),
        (["wait=30"], 30),
        (["WAIT = 30"], 30),
        (['wait="30"'], 30),
        (["wait=0"], 0),
        (["wait=600"], 60),
        (["wait=60, respond-async"], 60),
        (["respond-async,wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=5; foo=bar"], 5),
        (["wait=5, wait=6"], 5),
        (['foo="a, wait=1", wait=5'], 5),
        (["wait"], None),
        (["wait=soon"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=" + "9" * 5000], None),
        (["waiting=5"], None),
    ],
)
def test_the_wait_that_is_asked_for(headers: list[str], expected: int | None) -> None:
    assert wait_s(headers, longest_s=60) == expected
