"""Carries out a plan, which comes as JSON, and prints what was found. See `explore` in plan.py."""

import sys
from collections import Counter
from typing import Any

import schemathesis
from schemathesis import BaseSchema
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from tests.app.fuzz import checks
from tests.app.fuzz.plan import Found, Plan

assert checks  # imported to be registered


def main() -> None:
    plan = Plan.model_validate_json(sys.stdin.read())
    sys.stdout.write(carry_out(plan).model_dump_json())


def carry_out(plan: Plan) -> Found:
    """Sends the same requests each time, as far as answers do not go into them."""
    found = Found()
    for event in from_schema(_schema(plan)).execute():
        if isinstance(event, events.ScenarioFinished):
            _add(found, event.recorder)
        elif isinstance(event, events.NonFatalError):
            found.failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return found


def _schema(plan: Plan) -> BaseSchema:
    config = schemathesis.Config.from_dict(
        {
            "seed": 0,
            "workers": 1,
            "continue-on-failure": True,
            "cache": {"enabled": False},
            "headers": {} if plan.key is None else {"Authorization": f"Bearer {plan.key}"},
            "checks": plan.checks,
            "generation": {"max-examples": plan.examples, "mode": plan.mode, "database": "none"},
            "phases": _phases(plan),
        }
    )
    schema: BaseSchema = schemathesis.openapi.from_dict(plan.document, config=config)
    schema.config.update(base_url=plan.url)
    return schema if plan.only is None else schema.include(name=plan.only)


def _phases(plan: Plan) -> dict[str, Any]:
    phases: dict[str, Any] = {
        phase: {"enabled": phase in plan.phases}
        for phase in ("examples", "coverage", "fuzzing", "stateful")
    }
    # Along the links that are documented, and no others.
    phases["stateful"]["inference"] = {"algorithms": []}
    return phases


def _add(found: Found, recorder: ScenarioRecorder) -> None:
    for case_id, interaction in recorder.interactions.items():
        case = recorder.cases[case_id]
        operation = case.value.operation.label
        if interaction.response is None:
            found.failures.append(f"{operation} was not answered")
        else:
            statuses = found.answers.setdefault(operation, Counter())
            statuses[interaction.response.status_code] += 1
        if case.transition is not None and case.is_transition_applied:
            # "POST /generate -> [202] read_job -> GET /jobs/{job_id}"
            found.links[case.transition.id.split()[4]] += 1
    for check in (check for made in recorder.checks.values() for check in made):
        if check.failure_info is not None:
            failure = check.failure_info.failure
            told = [f"{failure.operation}: {check.name}: {failure.title}", failure.message]
            found.failures.append("\n".join([*told, check.failure_info.code_sample]))


if __name__ == "__main__":
    main()
