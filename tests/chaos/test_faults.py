"""What one fault does to one job: each test is a promise. The storm has all of them at once."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio

from tests.chaos.clients import Clients, Plan, Story, any_story, open_clients
from tests.chaos.faults import Moment
from tests.chaos.promises import judge
from tests.chaos.service import LEASE_S, Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = 150
"""Denoising steps of a stage, where a fault shall come in the middle of them."""

AStory = Callable[..., Story]
"""Makes one of a size that goes through all stages. Takes a plan and fields of the request."""


@pytest_asyncio.fixture(loop_scope="session")
async def clients(service: Service) -> AsyncIterator[Clients]:
    async with open_clients(service.urls) as clients:
        yield clients


@pytest.fixture
def a_story() -> AStory:
    rng = random.Random(0)

    def make(plan: Plan = Plan.WAIT, **fixed: object) -> Story:
        return any_story(plan, rng, **{"size": 16, "n": 1, **fixed})

    return make


async def check(service: Service, clients: Clients) -> None:
    await service.workers.stop_all()
    assert (await judge(service, clients)).all == []


@pytest.mark.parametrize(
    ("moment", "stage"),
    [
        (Moment.CLAIMED, "8"),
        (Moment.STEPPING, "16"),
        (Moment.DRAWN, "8"),
        (Moment.STORED, ""),
        (Moment.COMMITTED, "16"),
    ],
)
async def test_a_worker_that_is_killed_costs_no_job(
    service: Service, clients: Clients, a_story: AStory, moment: Moment, stage: str
) -> None:
    alone = service.settings.model_copy(update={"lease_s": LEASE_S / 2})  # no one else may judge
    pid = await service.workers.keep(alone)
    service.workers.traps.lay(moment, stage, signal.SIGKILL)
    await clients.live(a_story(n=3))
    assert (await service.workers.exited(pid)).status == -signal.SIGKILL
    await check(service, clients)


async def test_what_a_stopped_worker_commits_late_is_refused_and_it_goes_on(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    """Both have drawn the same image; the one who was overtaken drops it."""
    workers = service.workers
    slow = await workers.start(service.settings)
    trap = workers.traps.lay(Moment.DRAWN, "16", signal.SIGSTOP)
    life = asyncio.create_task(clients.live(a_story()))
    await workers.until("stopped", slow)
    assert not trap.exists()
    quick = await workers.start(service.settings)
    workers.traps.lay(Moment.DRAWN, "16", signal.SIGSTOP)
    await workers.until("stopped", quick)
    for pid in (slow, quick):
        workers.send(pid, signal.SIGCONT)
    await life
    assert (await workers.until("committed", slow, stage="16")).effect == "REFUSED"
    await workers.stop(quick)
    await clients.live(a_story(prompt="a dog"))
    await check(service, clients)


async def test_a_worker_that_stops_hands_back_and_no_lease_is_waited_for(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    workers = service.workers
    for_ever = service.settings.model_copy(update={"lease_s": 600.0})
    for _ in range(2):
        await workers.until("serving", await workers.start(for_ever))
    life = asyncio.create_task(clients.live(a_story(steps=[LONG, 2])))
    stopped = (await workers.until("claimed", stage="8")).pid
    await workers.stop(stopped)
    story = await life
    (other,) = workers.living
    assert workers.history_of(story.job_id + ":0", "8") == [
        ("claimed", stopped),
        ("handed_back", stopped),
        ("claimed", other),
        ("committed", other),
    ]
    await check(service, clients)


async def test_a_queue_that_is_killed_comes_back_with_every_job(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    workers = service.workers
    pid = await workers.keep(service.settings)
    lives = [asyncio.create_task(clients.live(a_story(steps=[LONG, 2]))) for _ in range(2)]
    await workers.until("claimed", stage="8")
    service.kill_queue()
    service.start_queue()
    await asyncio.gather(*lives)
    assert workers.kept == [pid]
    await check(service, clients)


async def test_a_client_whose_api_dies_gets_the_same_job_from_another(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    await service.workers.keep(service.settings)
    await service.until_ready()
    first, second = service.apis
    story = a_story(steps=[LONG, 2])
    waiting = asyncio.create_task(
        open_and_post(first.url, story),
    )
    claimed = await service.workers.until("claimed")
    await first.kill()
    with pytest.raises(httpx.TransportError):
        await waiting
    async with open_clients([second.url]) as others:
        await others.live(story)
    assert story.job_ids == {claimed.tasks[0].partition(":")[0]}
    await first.start()
    clients.stories.append(story)
    await check(service, clients)


async def open_and_post(url: str, story: Story) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        headers = {"idempotency-key": story.key, "prefer": "wait=20"}
        await http.post(f"{url}/generate", json=story.request, headers=headers)


async def test_a_poisonous_job_is_given_up_and_no_neighbour_is_blamed(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    for _ in range(2):
        await service.workers.keep(service.settings)
    stories = [a_story(Plan.POISON), *(a_story(n=3, seed=i) for i in range(3))]
    await asyncio.gather(*(clients.live(story) for story in stories))
    killed = [event for event in service.workers.events.history if event.what == "exited"]
    assert len(killed) <= service.settings.max_deliveries
    await check(service, clients)


async def test_a_full_image_store_is_waited_for_however_long_it_takes(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    await service.workers.start(service.settings, store_patience_s=0.2)
    service.workers.traps.full_store.touch()
    life = asyncio.create_task(clients.live(a_story(n=3)))
    await service.workers.until("handed_back", stage="16")
    service.workers.traps.full_store.unlink()
    await life
    await check(service, clients)


async def test_a_picture_that_no_worker_can_store_fails_with_the_reason(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    for _ in range(2):
        await service.workers.start(service.settings, store_patience_s=0.2)
    service.workers.traps.no_pictures.touch()
    story = await clients.live(a_story())
    assert story.end is not None
    assert story.end["status"] == "failed"
    assert story.end["error"]["code"] == "image_store"
    assert not any(service.settings.images_dir.glob("*/*"))


async def test_a_picture_is_gone_that_is_stored_after_its_job_was_deleted(
    service: Service, clients: Clients, a_story: AStory
) -> None:
    pid = await service.workers.start(service.settings)
    service.workers.traps.lay(Moment.DRAWN, "16", signal.SIGSTOP)
    story = a_story(Plan.DELETE)
    life = asyncio.create_task(clients.live(story))
    await service.workers.until("stopped", pid)
    await life
    service.workers.send(pid, signal.SIGCONT)
    await service.workers.until("storing", pid)
    await check(service, clients)
