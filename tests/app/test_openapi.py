"""The OpenAPI document says what the routes do."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from app.answers import JOB_EXAMPLE, JobAnswer
from app.main import create_app
from app.openai import answers
from app.orders.request import REQUEST_EXAMPLES
from app.orders.resolve import resolve
from app.settings import ApiSettings
from tests.app.conftest import CARD

OPENAI_S: tuple[type[BaseModel], ...] = (
    answers.Picture,
    answers.ImagesAnswer,
    answers.PartialImageEvent,
    answers.CompletedEvent,
    answers.ErrorEvent,
    answers.ErrorAnswer,
    answers.ErrorDetails,
    answers.Model,
    answers.ModelList,
)
"""What is told below /v1."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(ApiSettings()).openapi()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield str(value)
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    named = set(references(document))
    assert named
    assert {reference.removeprefix("#/components/schemas/") for reference in named} <= set(schemas)


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    envelope = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            assert "default" in responses
            for status, response in responses.items():
                if status == "default" or int(status) >= 400:
                    is_openai = path.startswith("/v1/")
                    assert response["content"] == (envelope if is_openai else problem)
                    assert response["description"]


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By their id."""
    found = [each for path in document["paths"].values() for each in path.values()]
    by_id = {operation["operationId"]: operation for operation in found}
    assert len(by_id) == len(found)
    return by_id


def test_every_link_leads_to_an_operation_with_these_parameters(document: dict[str, Any]) -> None:
    by_id = operations(document)
    links = [
        link
        for operation in by_id.values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert {link["operationId"] for link in links} == {
        "read_job",
        "cancel_job",
        "delete_job",
        "read_image",
    }
    for link in links:
        told = {parameter["name"] for parameter in by_id[link["operationId"]]["parameters"]}
        assert link["parameters"].keys() <= told


@pytest.mark.parametrize(
    ("status", "header"),
    [("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After")],
)
def test_what_to_do_next_is_in_a_header(document: dict[str, Any], status: str, header: str) -> None:
    answers = [
        each["responses"][status]
        for each in operations(document).values()
        if status in each["responses"]
    ]
    assert answers
    assert all(answer["headers"][header]["required"] for answer in answers)


def test_a_header_is_text(document: dict[str, Any]) -> None:
    """Also one that may come more than once."""
    headers = [
        parameter
        for operation in operations(document).values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    ]
    assert {header["name"] for header in headers} == {
        "idempotency-key",
        "prefer",
        "if-none-match",
        "last-event-id",
    }
    assert {header["schema"]["type"] for header in headers} == {"string"}


def test_what_generate_takes_and_gives(document: dict[str, Any]) -> None:
    operation = document["paths"]["/generate"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/GenerateRequest"}
    statuses = {"200", "202", "401", "413", "415", "422", "429", "503", "default"}
    assert set(operation["responses"]) == statuses
    for status in ("200", "202"):
        schema = operation["responses"][status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/JobAnswer"}


def test_what_who_follows_a_job_is_told(document: dict[str, Any]) -> None:
    told = document["paths"]["/jobs/{job_id}/events"]["get"]["responses"]["200"]
    assert told["content"].keys() == {"text/event-stream"}
    event = told["content"]["text/event-stream"]["itemSchema"]
    assert event["properties"]["event"]["enum"] == ["state", "progress", "preview", "image", "end"]
    models = {"JobAnswer", "ImageInProgress", "ImageAnswer"}
    assert set(references(event)) == {f"#/components/schemas/{model}" for model in models}


def test_what_openai_s_clients_ask_and_are_told(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/images/generations"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/ImageRequest"}
    wrong = {"400", "401", "404", "409", "413", "415", "429", "500", "503", "504", "default"}
    assert set(operation["responses"]) == {"200"} | wrong
    told = operation["responses"]["200"]["content"]
    assert told.keys() == {"application/json", "text/event-stream"}
    assert told["application/json"]["schema"] == {"$ref": "#/components/schemas/ImagesAnswer"}
    events = set(references(told["text/event-stream"]))
    names = {"PartialImageEvent", "CompletedEvent", "ErrorEvent"}
    assert events == {f"#/components/schemas/{name}" for name in names}


def test_openai_s_models_have_examples_that_are_true(document: dict[str, Any]) -> None:
    for model in OPENAI_S:
        (example,) = document["components"]["schemas"][model.__name__]["examples"]
        assert model.model_validate(example).model_dump(exclude_unset=True) == example


def test_the_examples_are_true() -> None:
    two_stages = CARD.model_copy(update={"stages": CARD.stages[:2]})
    for example in REQUEST_EXAMPLES:
        assert resolve(example, two_stages)
    answer = JobAnswer.model_validate(JOB_EXAMPLE)
    assert answer.model_dump(mode="json")["status"] == "succeeded"
    assert resolve(JOB_EXAMPLE["parameters"], two_stages)
