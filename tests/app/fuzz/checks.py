"""What every answer has to be, beyond what schemathesis checks by itself."""

import json
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

OF_HTTP = {"content-length", "content-type", "date", "server", "transfer-encoding"}
"""Headers that any answer has."""

ENVELOPED = "/v1/"
"""Paths that answer errors as OpenAI's do."""


@schemathesis.check
def every_header_is_documented(context: CheckContext, response: Response, case: Case[Any]) -> None:
    told = set(response.headers) - OF_HTTP - documented_headers(case, response.status_code)
    assert not told, f"{response.status_code} has headers that no one was told of: {told}"


@schemathesis.check
def refusals_say_what_to_do(context: CheckContext, response: Response, case: Case[Any]) -> None:
    if response.status_code < 400:
        return
    if case.operation.path.startswith(ENVELOPED):
        assert response.headers["content-type"] == ["application/json"]
        error = response.json()["error"]
        field = error["param"]
        assert ": " in error["message"]
        assert field is None or is_of_request(field, case), f"the request has no {field}"
        return
    assert response.headers["content-type"] == ["application/problem+json"]
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["detail"]
    assert problem.get("remedy") or problem.get("errors")
    for error in problem.get("errors", ()):
        assert error["problem"]
        assert error["remedy"]
        assert is_of_request(error["field"], case), f"the request has no {error['field']}"


def documented_headers(case: Case[Any], status: int) -> set[str]:
    """In lower case. No operation knows of the methods that its path has not."""
    if status == 405:
        return {"allow"}
    answers = case.operation.definition.raw["responses"]
    return {name.lower() for name in answers[str(status)].get("headers", ())}


def is_of_request(field: str, case: Case[Any]) -> bool:
    """Whether the request has this field, or an element of it, or lacks it and should not."""
    body = case.body
    if isinstance(body, bytes):
        try:
            body = json.loads(body)
        except ValueError:
            body = None
    names = {
        "body",
        "prompt",
        *map(str.lower, case.headers),
        *case.path_parameters,
        *case.query,
        *(body if isinstance(body, dict) else ()),
    }
    return field in names or field.partition("[")[0] in names
