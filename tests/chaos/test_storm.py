"""The short form of `make chaos`: every kind of fault once, under load."""

import pytest

from tests.chaos.monkey import Fault
from tests.chaos.service import Service
from tests.chaos.storm import Report, storm

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = 4


async def test_nothing_is_lost_and_nothing_is_done_twice(service: Service) -> None:
    def told(report: Report) -> None:
        print(f"seed {SEED}: {report.jobs} jobs, {report.faults.total()} faults")

    report = await storm(service, jobs=50, faults=len(Fault), seed=SEED, told=told)
    assert report.verdict.all == []
    assert set(report.faults) == set(Fault)
