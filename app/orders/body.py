"""Reads a JSON body, bounded and strictly. Knows nothing of what the JSON means."""

import json
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.errors import BodyTooLarge, FieldProblem, InvalidRequest, NotJson

MAX_BODY_BYTES = 65_536
"""Two prompts of 2,000 characters take at most 48,000, each written as a pair of escapes."""

EXAMPLE = '{"prompt": "a red apple"}'


async def read_json(request: Request) -> Any:
    """The body's JSON value.

    The content type has to be given: a browser asks before it lets another site's page send
    JSON here, which it does not for a form or plain text.

    Raises: NotJson, BodyTooLarge, InvalidRequest.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise NotJson(content_type)
    try:
        return json.loads((await _read(request)).decode(), object_pairs_hook=_without_repetition)
    except ValueError as error:  # neither UTF-8 nor JSON, or a number of thousands of digits
        raise _invalid(
            "body", f"is not JSON: {error}", f"send JSON in UTF-8, as in {EXAMPLE}"
        ) from error
    except RecursionError as error:
        raise _invalid("body", "is nested too deeply", f"send a flat object: {EXAMPLE}") from error


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise BodyTooLarge
    except ClientDisconnect as error:  # no one is left to read this, but it is no bug of ours
        raise HTTPException(400, "the body ended early") from error
    return bytes(body)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON leaves open which of two equal names counts, so neither does."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            # A lone surrogate cannot be written back as it is.
            field = name.encode(errors="backslashreplace").decode()
            raise _invalid(field, "is given more than once", "give it once")
        members[name] = value
    return members


def _invalid(field: str, problem: str, remedy: str) -> InvalidRequest:
    return InvalidRequest([FieldProblem(field=field, problem=problem, remedy=remedy)])
