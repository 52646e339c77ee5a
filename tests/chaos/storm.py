"""Many jobs and many faults at once, by one seed; then everything is looked at."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.clients import Plan, any_story, open_clients
from tests.chaos.monkey import BESIDE, Fault, Monkey
from tests.chaos.promises import Verdict, judge
from tests.chaos.service import Service

WORKERS = 3

PLANS = {Plan.WAIT: 70, Plan.CANCEL: 10, Plan.DELETE: 10, Plan.DEADLINE: 10}
"""How many of a hundred clients do what."""


@dataclass
class Report:
    """What was done, and what came of it."""

    seed: int
    jobs: int = 0
    faults: Counter[Fault] = field(default_factory=Counter[Fault])
    verdict: Verdict = field(default_factory=Verdict)


def schedule(faults: int, rng: random.Random) -> list[tuple[Fault, ...]]:
    """So many faults, in rounds: every kind as often, some with another beside it."""
    rounds: list[tuple[Fault, ...]] = []
    kinds = list(Fault)
    while sum(map(len, rounds)) < faults:
        rng.shuffle(kinds)
        for kind in kinds:
            is_paired = kind not in BESIDE and rng.random() < 0.25
            rounds.append((kind, rng.choice(BESIDE)) if is_paired else (kind,))
    return rounds


async def storm(
    service: Service, jobs: int, faults: int, seed: int, told: Callable[[Report], None]
) -> Report:
    """jobs: more than faults. told: called whenever something has happened."""
    rng = random.Random(seed)
    report = Report(seed)
    async with open_clients(service.urls) as clients:
        monkey = Monkey(service, clients, rng)
        for _ in range(WORKERS):
            await service.workers.keep(service.settings)
        await service.until_ready()
        rounds = schedule(faults, rng)
        asked = _deal(jobs - sum(map(len, rounds)), len(rounds), rng)  # each fault brings its own
        async with asyncio.TaskGroup() as lives:
            for kinds, plans in zip(rounds, asked, strict=True):
                for plan in plans:
                    lives.create_task(clients.live(any_story(plan, rng)))
                await asyncio.gather(*(monkey.cause(fault) for fault in kinds))
                report.faults.update(kinds)
                report.jobs = len(clients.stories)
                told(report)
        for story in clients.stories:
            await clients.submit(story)  # once more, which must change nothing
        await service.workers.stop_all()
        report.jobs = len(clients.stories)
        report.verdict = await judge(service, clients)
        told(report)
    return report


def _deal(jobs: int, rounds: int, rng: random.Random) -> list[list[Plan]]:
    """What the clients of each round plan: every round has its share."""
    plans = rng.choices(list(PLANS), weights=list(PLANS.values()), k=jobs)
    return [plans[jobs * i // rounds : jobs * (i + 1) // rounds] for i in range(rounds)]
