"""What FastAPI cannot see for itself: problem documents, and the request that we read ourselves."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from app.errors import KINDS, PROBLEM_TYPE, Problem
from app.request import GenerateRequest

REFERENCE = "#/components/schemas/{model}"

Responses = dict[int | str, dict[str, Any]]


class Api(FastAPI):
    """FastAPI, whose document has the schemas that routes name by reference."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"].update(_schemas())
        return super().openapi()


def json_request(model: str) -> dict[str, Any]:
    """For `openapi_extra`: a JSON body of this schema."""
    return {"requestBody": {"required": True, "content": {"application/json": _schema(model)}}}


def problems(*statuses: int) -> Responses:
    """For `responses`: the problems a route may answer with; all others come as the default."""
    described: dict[int | str, str] = {status: _details(status) for status in statuses}
    described["default"] = "any other problem"
    return {
        status: {"description": description, "content": {PROBLEM_TYPE: _schema("Problem")}}
        for status, description in described.items()
    }


def _details(status: int) -> str:
    return ", or ".join(kind.detail for kind in KINDS.values() if kind.status == status)


def _schema(model: str) -> dict[str, Any]:
    return {"schema": {"$ref": REFERENCE.format(model=model)}}


def _schemas() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(Problem, "validation"), (GenerateRequest, "validation")], ref_template=REFERENCE
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
