"""What is to be tried of a service, and what was found: passed to a process of its own and back.

FUZZ_EXAMPLES says how many requests are made up for an operation, 25 where it is not set.
"""

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.main import create_app
from app.settings import ApiSettings
from tests.app.fuzz.service import CASCADE

ROOT = Path(__file__).parents[3]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))

NOWHERE = "http://127.0.0.1:9/done"
"""Nothing listens there."""

CHECKS: dict[str, Any] = {
    "max_response_time": 5.0,
    # A deleted job can still be read, as one that was deleted.
    "use_after_free": {"enabled": False},
    # What only the card of a cascade refuses, the document cannot know: 422, or 400 below /v1. What
    # it takes is tried by itself, see `within_the_card`.
    "positive_data_acceptance": {
        "expected-statuses": ["2xx", "304", "400", "401", "404", "422", "429", "504"]
    },
    # Who waits for a job is told that its deadline has passed.
    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
}


class Plan(BaseModel):
    """As schemathesis is to try a service."""

    document: dict[str, Any]
    url: str
    key: str | None = None
    """An API key."""
    phases: tuple[str, ...] = ("examples", "coverage", "fuzzing", "stateful")
    mode: str = "all"
    """positive: what the document allows; negative: what it does not."""
    checks: dict[str, Any] = CHECKS
    only: str | None = None
    """The one operation to try."""
    examples: int = EXAMPLES


class Found(BaseModel):
    """What there was to see."""

    failures: list[str] = []
    """With what repeats them."""
    answers: dict[str, Counter[int]] = {}
    """By operation and status."""
    links: Counter[str] = Counter()
    """Those followed, by name."""

    def of(self, operation: str) -> set[int]:
        """The statuses of its answers."""
        return set(self.answers[operation])


def explore(plan: Plan) -> Found:
    """Has the plan carried out, in a process of its own: schemathesis alters hypothesis."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.app.fuzz.explorer"],
        input=plan.model_dump_json(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return Found.model_validate_json(done.stdout)


def document_of(settings: ApiSettings) -> dict[str, Any]:
    """The service's document, without what would let anything pass, or goes too far.

    The default answer is for statuses that no operation can know of. Where nobody needs a key,
    the document still says where one goes. The webhook of the examples is another's.
    """
    written = json.dumps(create_app(settings).openapi())
    document: dict[str, Any] = json.loads(written.replace("https://example.com/done", NOWHERE))
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["responses"]["default"]
            if settings.auth == "none":
                operation.pop("security", None)
    return document


def within_the_card(document: dict[str, Any]) -> dict[str, Any]:
    """The document as CASCADE has it: narrower than the truth, so that all of it is accepted.

    Without idempotency keys, of which some would come a second time.
    """
    narrow = copy.deepcopy(document)
    parameters = narrow["paths"]["/generate"]["post"]["parameters"]
    parameters[:] = [each for each in parameters if each["name"] != "idempotency-key"]
    narrow["components"]["schemas"]["GenerateRequest"]["properties"] |= WITHIN_THE_CARD
    return narrow


def _each_or(one: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """A value for all stages, or a list of one for each."""
    values = [{"anyOf": [each, {"type": "null"}]} for each in (one, *others)]
    count = len(values)
    items = {"type": "array", "prefixItems": values, "minItems": count, "maxItems": count}
    return {"anyOf": [one, items]}


_STEPS = {"enum": [1, 57, 100]}
_SCALE = {"type": "number", "minimum": 0, "maximum": 20}
_UNIT = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT = {"type": "string", "maxLength": 100}
_INTERVAL = {"enum": [[0, 1], [0.2, 0.9], [0.5, 0.5]]}
_SIDE = {"enum": [64, 96, 128, 160, None]}

WITHIN_THE_CARD: dict[str, Any] = {
    "prompt": {**_TEXT, "pattern": "^[^\\x00]*[a-z][^\\x00]*$"},
    "negative_prompt": {**_TEXT, "pattern": "^[^\\x00]*$"},
    "n": {"enum": [1, CASCADE.max_images]},
    "size": {"enum": [128, None]},
    "width": _SIDE,
    "height": _SIDE,
    "seed": {"enum": [0, 7, 2**32 - 1, None]},
    "steps": _each_or(_STEPS, _STEPS),
    "guidance_scale": _each_or(_SCALE, _SCALE),
    "guidance_interval": _each_or(_INTERVAL, _INTERVAL),
    "sampler": _each_or({"const": "ddim"}, {"enum": ["ddim", "dpmpp"]}),
    "eta": _each_or(_UNIT, {"type": "null"}),
    "aug_level": _each_or(_UNIT),
    "adapters": {"enum": [[], None]},
    "webhook": {"enum": [NOWHERE, None]},
}
"""Stages 32 and 128, of which the second need not have an eta. Integers are listed, since to JSON
Schema 2.0 is one, and to us it is not."""
