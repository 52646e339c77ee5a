"""Priority, deadline and webhook: what may be asked for, whatever the cascade, and by whom."""

from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.orders.policy import Policy
from app.orders.request import MAX_DEADLINE_S
from app.orders.resolve import Order, resolve_order
from app.webhooks.address import MAX_URL_CHARS, ascii_host, port_of
from tests.app.conftest import CARD
from workers.jobs.job import Priority

ANYONE = Policy()
TRUSTING = Policy(private_webhooks=True)

DEADLINE_REMEDY = f"use a number of seconds, above 0 and up to {MAX_DEADLINE_S}"
PUBLIC_REMEDY = (
    "use an https URL of a public host without user name and fragment, of up to "
    f"{MAX_URL_CHARS} characters"
)


def order(policy: Policy = ANYONE, **fields: Any) -> Order:
    return resolve_order({"prompt": "a cat", **fields}, CARD, policy)


def refused(policy: Policy = ANYONE, **fields: Any) -> dict[str, tuple[str, str]]:
    """Field -> (problem, remedy)."""
    with pytest.raises(InvalidRequest) as caught:
        order(policy, **fields)
    return {each.field: (each.problem, each.remedy) for each in caught.value.problems}


def test_what_is_left_out_is_usual() -> None:
    usual = order()
    assert (usual.priority, usual.deadline_s, usual.webhook) == (Priority.NORMAL, None, None)
    assert order(priority=None, deadline_s=None, webhook=None).priority is Priority.NORMAL


def test_the_usual_priority_is_no_higher_than_the_keys() -> None:
    assert order(Policy(Priority.LOW)).priority is Priority.LOW
    assert order(Policy(Priority.HIGH)).priority is Priority.NORMAL


@pytest.mark.parametrize("priority", Priority)
def test_what_is_asked_for_is_what_one_gets(priority: Priority) -> None:
    assert order(priority=str(priority)).priority is priority


@pytest.mark.parametrize(
    ("priority", "problem"),
    [
        ("urgent", "is no value of this field"),
        ("HIGH", "is no value of this field"),
        (1, "is no value of this field"),
        (["high"], "is no value of this field"),
    ],
)
def test_an_unknown_priority(priority: Any, problem: str) -> None:
    remedy = 'use "low" or "normal" or "high", or leave it out'
    assert refused(priority=priority) == {"priority": (problem, remedy)}


def test_a_priority_beyond_the_keys() -> None:
    problem = "is higher than your key allows"
    assert refused(Policy(Priority.LOW), priority="normal") == {
        "priority": (problem, 'use "low", or leave it out')
    }
    assert refused(Policy(Priority.NORMAL), priority="high") == {
        "priority": (problem, 'use "low" or "normal", or leave it out')
    }


@pytest.mark.parametrize("seconds", [0.001, 1, 3600, 86_400.5, MAX_DEADLINE_S])
def test_a_deadline(seconds: float) -> None:
    assert order(deadline_s=seconds).deadline_s == seconds


@pytest.mark.parametrize(
    ("seconds", "problem"),
    [
        (0, "is too small"),
        (-1, "is too small"),
        (MAX_DEADLINE_S + 0.001, "is too large"),
        (float("inf"), "is not a finite number"),
        (float("nan"), "is not a finite number"),
        ("60", "is not a number"),
        (True, "is not a number"),
        ([60], "is not a number"),
    ],
)
def test_a_deadline_that_cannot_be(seconds: Any, problem: str) -> None:
    assert refused(deadline_s=seconds) == {"deadline_s": (problem, DEADLINE_REMEDY)}


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/done",
        "https://example.com:8443/done?job=1",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://münchen.example/fertig",
    ],
)
def test_a_webhook(url: str) -> None:
    assert order(webhook=url).webhook == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.com/done", "does not use https"),
        ("ftp://example.com/done", "is not an http or https URL"),
        ("example.com", "is not an http or https URL"),
        ("https://", "has no valid host"),
        ("https://me:secret@example.com/", "has a user name in it"),
        ("https://example.com/#here", "has a fragment"),
        ("https://localhost/", "is of a private address"),
        ("https://127.0.0.1/", "is of a private address"),
        ("https://2130706433/", "is of a private address"),
        ("https://169.254.169.254/latest/meta-data", "is of a private address"),
        ("https://[::1]/", "is of a private address"),
        ("https://example.com:0/", "has no valid port"),
        ("https://example.com/" + MAX_URL_CHARS * "a", "is longer than 2000 characters"),
        ("", "is not an http or https URL"),
        ("https://a\ud800.example/", "has a lone surrogate in it, half of a UTF-16 pair"),
        ("https://a\0.example/", "has a NUL character in it"),
        (7, "is not a string"),
        ({"url": "https://example.com/"}, "is not a string"),
    ],
)
def test_a_webhook_that_cannot_be(url: Any, problem: str) -> None:
    assert refused(webhook=url) == {"webhook": (problem, PUBLIC_REMEDY)}


def test_where_the_service_may_reach_private_addresses_so_may_webhooks() -> None:
    assert order(TRUSTING, webhook="http://127.0.0.1:9000/done").webhook
    assert refused(TRUSTING, webhook="http://a@b/")["webhook"][1].startswith("use an http or https")


url_parts = st.sampled_from(
    ["https://", "http://", "//", "[::1]", "[", "]", ":", "@", "#", "?", "/", "%00", "%zz", "xn--a"]
) | st.sampled_from(
    ["a.example", "127.0.0.1", "0x7f.1", "\u202e", "é", "\uff0e", "99999999", "\\", " "]
)


def fields_refused(**fields: Any) -> set[str]:
    try:
        order(**fields)
    except InvalidRequest as error:
        return {each.field for each in error.problems}
    return set()


@settings(deadline=None)
@given(st.lists(url_parts | st.text(max_size=5), max_size=8).map("".join))
@example("https://xn--a")
@example("https://a.example:" + "9" * 1900)
def test_whatever_a_webhooks_url_is_it_is_refused_or_can_be_used(url: str) -> None:
    refused = fields_refused(webhook=url)
    assert refused <= {"webhook"}
    if not refused:
        assert ascii_host(httpx.URL(url))
        assert 0 < port_of(httpx.URL(url)) < 2**16


def test_they_are_told_together_with_what_the_cascade_refuses() -> None:
    wrong = refused(priority="urgent", deadline_s=0, webhook="", n=99, size=7)
    assert wrong.keys() == {"priority", "deadline_s", "webhook", "n", "size"}


@pytest.mark.usefixtures("served")
async def test_over_http(client: AsyncClient) -> None:
    asked = {"priority": "low", "deadline_s": 600, "webhook": "https://example.com/done"}
    accepted = await client.post("/generate", json={"prompt": "a cat", **asked})
    assert accepted.status_code == 202
    assert accepted.json()["priority"] == "low"
    assert "webhook" not in accepted.text, "whom to tell is between the owner and us"
    body = {"prompt": "a cat", "priority": "urgent", "deadline_s": 0, "webhook": "example.com"}
    answer = await client.post("/generate", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [
        "priority",
        "deadline_s",
        "webhook",
    ]


def test_more_images_than_may_ever_wait_are_refused_by_name() -> None:
    few = Policy(most_images=2)
    remedy = "use a whole number from 1 to 2"
    assert refused(few, n=3) == {"n": ("is more than may wait at once", remedy)}
    assert order(few, n=2).parameters.n == 2
