"""Whatever is asked, the answer is one that the OpenAPI document tells of."""

from typing import Any

import pytest

from app.settings import ApiSettings
from tests.app.fuzz.conftest import Start
from tests.app.fuzz.plan import CHECKS, Plan, document_of, explore, within_the_card
from tests.app.fuzz.service import serving

GENERATE = "POST /generate"
JOB = "GET /jobs/{job_id}"
LIST = "GET /jobs"
EVENTS = "GET /jobs/{job_id}/events"
IMAGE = "GET /images/{job_id}/{index}.png"
OPEN = {IMAGE, "GET /livez", "GET /readyz"}

LINKS = {"read_job", "cancel_job", "delete_job", "read_image"}

EXAMPLES = ("examples",)

NOTHING_WORKS: dict[str, Any] = {
    **CHECKS,
    "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
    "positive_data_acceptance": {"enabled": False},
}


def test_without_keys(start: Start, open_settings: ApiSettings) -> None:
    with start(open_settings) as service:
        found = explore(Plan(document=document_of(open_settings), url=service.url))
    assert found.failures == []
    assert found.of(GENERATE) == {200, 202, 405, 415, 422}
    assert found.of(IMAGE) >= {200, 404, 405}
    assert found.of(LIST) >= {200, 422}
    assert found.of(EVENTS) >= {200, 404, 422}
    assert found.links.keys() >= LINKS


def test_with_keys_and_quotas(start: Start, open_settings: ApiSettings, key: str) -> None:
    quotas = {"owner_images_per_minute": 10**6, "owner_queued_images": 10**6}
    settings = open_settings.model_copy(update={"auth": "required", **quotas})
    with start(settings) as service:
        found = explore(Plan(document=document_of(settings), url=service.url, key=key))
    assert found.failures == []
    assert found.of(GENERATE) == {200, 202, 401, 405, 415, 422}
    for operation in found.answers.keys() - OPEN:
        assert found.of(operation) >= {200, 401}, operation
    for operation in OPEN:
        assert 401 not in found.of(operation)


def test_what_the_cascade_can_draw_is_accepted(start: Start, open_settings: ApiSettings) -> None:
    with start(open_settings) as service:
        plan = Plan(
            document=within_the_card(document_of(open_settings)),
            url=service.url,
            phases=("fuzzing",),
            mode="positive",
            checks={"positive_data_acceptance": {"expected-statuses": ["2xx"]}},
            only=GENERATE,
        )
        found = explore(plan)
    assert found.failures == []
    assert found.of(GENERATE) == {200, 202}


def test_beyond_a_quota(start: Start, open_settings: ApiSettings) -> None:
    settings = open_settings.model_copy(update={"owner_images_per_minute": 1})
    with start(settings) as service:
        found = explore(
            Plan(document=document_of(settings), url=service.url, phases=EXAMPLES, only=GENERATE)
        )
    assert found.failures == []
    assert 429 in found.of(GENERATE)


def test_without_a_worker(open_settings: ApiSettings) -> None:
    with serving(open_settings) as service:
        plan = Plan(document=document_of(open_settings), url=service.url, phases=EXAMPLES)
        found = explore(plan.model_copy(update={"checks": NOTHING_WORKS}))
    assert found.failures == []
    assert found.of(GENERATE) == {503}


@pytest.mark.parametrize("auth", ["none", "required"])
def test_without_a_queue(open_settings: ApiSettings, key: str, auth: str) -> None:
    nowhere = f"unix://{open_settings.data_dir}/nothing"
    settings = open_settings.model_copy(update={"redis_url": nowhere, "auth": auth})
    with serving(settings) as service:
        plan = Plan(document=document_of(settings), url=service.url, key=key, phases=EXAMPLES)
        found = explore(plan.model_copy(update={"checks": NOTHING_WORKS}))
    assert found.failures == []
    assert found.of(GENERATE) == found.of(JOB) == {503}
