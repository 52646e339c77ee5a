"""What holds whatever happens, looked at from outside when all is quiet."""

import hashlib
import io
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.orders.resolve import resolve
from tests.chaos.clients import Clients, Plan, Story, Trouble
from tests.chaos.events import Event
from tests.chaos.service import Service
from tests.valkey import leaked_keys
from workers.describe import describe, settings_of
from workers.jobs import keys
from workers.jobs.ledger import Ledger
from workers.main import load

ENDS = {
    Plan.WAIT: {"succeeded"},
    Plan.CANCEL: {"canceled", "succeeded"},
    Plan.DELETE: {"canceled", "succeeded"},
    Plan.DEADLINE: {"expired", "succeeded"},
    Plan.POISON: {"failed"},
}
"""Whichever comes first."""


@dataclass
class Verdict:
    """Promises that were broken, in words."""

    pictures: int = 0
    refused: int = 0
    """Results that came too late and changed nothing."""
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    broken: list[str] = field(default_factory=list[str])
    """Any other promise."""

    @property
    def all(self) -> list[str]:
        """None, if the service keeps its promises."""
        return [*self.lost, *self.doubled, *self.broken]


class References:
    """What the slow loop draws, each picture once."""

    def __init__(self, service: Service) -> None:
        self._cascade = load(service.settings)
        self._card = describe(self._cascade, service.settings)
        self._drawn: dict[str, NDArray[np.uint8]] = {}

    def of(self, parameters: dict[str, Any], seed: int) -> NDArray[np.uint8]:
        """[H, W, 3]. parameters: of the job, as answered."""
        asked = resolve({**parameters, "n": 1, "seed": seed}, self._card)
        name = asked.model_dump_json()
        if name not in self._drawn:
            picture = self._cascade.generate(
                asked.prompt,
                negative_prompt=asked.negative_prompt,
                seed=seed,
                size=asked.size,
                settings={stage.name: settings_of(stage) for stage in asked.stages},
            )
            self._drawn[name] = picture.pixels.numpy()
        return self._drawn[name]


async def judge(service: Service, clients: Clients) -> Verdict:
    """Once every story has ended and every worker has stopped."""
    verdict = Verdict()
    references = References(service)
    for story in clients.stories:
        await _judge_story(story, service, clients, references, verdict)
    commits = [event for event in service.workers.events.history if event.what == "committed"]
    verdict.refused = sum(event.effect != "DONE" for event in commits)
    verdict.doubled += _repeated(event for event in commits if event.effect == "DONE")
    verdict.broken += [f"{key} is left in Redis" for key in await leaked_keys(service.redis)]
    if await service.redis.exists(keys.queued()):
        verdict.broken.append("images are still counted as waiting")
    verdict.broken += _left_in_store(service, clients)
    return verdict


async def _judge_story(
    story: Story, service: Service, clients: Clients, references: References, verdict: Verdict
) -> None:
    name = f"{story.plan} {story.key}, job {', '.join(story.job_ids) or 'unknown'}"
    if story.end is None:
        verdict.lost.append(f"{name}: {story.trouble}")
        return
    try:
        job = await clients.job(story)
    except Trouble as error:
        verdict.lost.append(f"{name}: {error}")
        return
    if len(story.job_ids) > 1:
        verdict.doubled.append(f"{name}: one request, more than one job")
    verdict.broken += [f"{name}: {wrong}" for wrong in _wrong_with(story, job)]
    for image in job["images"]:
        verdict.pictures += 1
        wrong = await _wrong_with_picture(image, job, service, clients, references)
        verdict.broken += [f"{name}, image {image['index']}: {each}" for each in wrong]


def _wrong_with(story: Story, job: dict[str, Any]) -> Iterator[str]:
    assert story.end is not None
    deleted = story.plan is Plan.DELETE
    for part in ("status", "finished_at", "error") + (() if deleted else ("images", "parameters")):
        if job[part] != story.end[part]:
            yield f"{part} was {story.end[part]} and is {job[part]}: it changed after its end"
    if job["status"] not in ENDS[story.plan]:
        yield f"{job['status']}, {job['error']}"
    complete = [image["index"] for image in job["images"]] == list(range(job["parameters"]["n"]))
    if job["status"] == "succeeded" and not deleted and not complete:
        yield f"succeeded without all its images: {job['images']}"
    if job["status"] == "expired" and job["finished_at"] < job["deadline_at"]:
        yield "expired before its deadline"
    if story.plan is Plan.POISON and (job["error"] or {}).get("code") != "gave_up":
        yield f"not given up: {job['error']}"
    if deleted and (not job["deleted"] or job["images"] or job["parameters"]["prompt"]):
        yield "deleted, and still there"


async def _wrong_with_picture(
    image: dict[str, Any],
    job: dict[str, Any],
    service: Service,
    clients: Clients,
    references: References,
) -> list[str]:
    answer = await clients.picture(image["url"])
    if not answer.is_success:
        return [f"{answer.status_code} for its picture"]
    record = await Ledger(service.redis, service.settings).job(job["id"])
    digest = hashlib.sha256(answer.content).hexdigest()
    recorded = {each.index: each.sha256 for each in record.images}[image["index"]]
    if not digest == recorded == answer.headers["etag"].strip('"'):
        return ["its bytes are not those that were recorded"]
    with Image.open(io.BytesIO(answer.content)) as png:
        drawn = np.asarray(png)  # which raises for one that is not whole
    expected = references.of(job["parameters"], image["seed"])
    return [] if np.array_equal(drawn, expected) else ["it is not what its seed draws"]


def _repeated(commits: Iterable[Event]) -> Iterator[str]:
    counts = Counter((event.stage, event.tasks) for event in commits)
    for (stage, (task,)), count in counts.items():
        if count > 1:
            yield f"task {task} counted {count} times at stage {stage}"


def _left_in_store(service: Service, clients: Clients) -> Iterator[str]:
    """Pictures of those jobs that have some, and nothing else of what workers write there."""
    stories = {story.job_id: story for story in clients.stories if story.job_ids}
    excused = _stored_by_the_killed(service.workers.events.history)
    for folder in service.settings.images_dir.iterdir():
        story = stories.get(folder.name)
        if story is None:
            yield f"{folder} is of no job"
        elif story.plan is Plan.DELETE and folder.name not in excused:
            yield f"{folder} is left of a deleted job"
        elif story.plan is not Plan.DELETE and story.end and story.end["status"] == "succeeded":
            names = {path.name for path in folder.iterdir()}
            if names != {f"{image['index']}.png" for image in story.end["images"]}:
                yield f"{folder} has {names}"


def _stored_by_the_killed(history: Iterable[Event]) -> set[str]:
    """Jobs of which a worker may have left a file when it was killed; see docs/guarantees.md."""
    killed = {event.pid for event in history if event.status == -signal.SIGKILL}
    paths = [event.tasks[0] for event in history if event.what == "storing" and event.pid in killed]
    return {path.partition("/")[0] for path in paths}
