"""The OpenAPI document says what the routes do."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.answers import JOB_EXAMPLE, JobAnswer
from app.main import create_app
from app.request import REQUEST_EXAMPLES
from app.resolve import resolve
from app.settings import ApiSettings
from tests.app.conftest import CARD


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
    for operations in document["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            assert "default" in responses
            for status, response in responses.items():
                if status == "default" or int(status) >= 400:
                    assert response["content"] == problem
                    assert response["description"]


def test_what_generate_takes_and_gives(document: dict[str, Any]) -> None:
    operation = document["paths"]["/generate"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/GenerateRequest"}
    assert set(operation["responses"]) == {"200", "202", "413", "415", "422", "503", "default"}
    for status in ("200", "202"):
        schema = operation["responses"][status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/JobAnswer"}


def test_the_examples_are_true() -> None:
    two_stages = CARD.model_copy(update={"stages": CARD.stages[:2]})
    for example in REQUEST_EXAMPLES:
        assert resolve(example, two_stages)
    answer = JobAnswer.model_validate(JOB_EXAMPLE)
    assert answer.model_dump(mode="json")["status"] == "succeeded"
    assert resolve(JOB_EXAMPLE["parameters"], two_stages)
