"""`make compose-test`: every promise of docker-compose.yml, one after the other."""

import sys
import time
from collections.abc import Callable
from io import BytesIO
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from PIL import Image

from tests.containers.compose import Engine, NoEngine, Project

APPLE = {"prompt": "a red apple on a blue background", "seed": 7}  # the README's request
N = 16
MANY = {"prompt": "three cats on a green background", "seed": 1, "n": N, "steps": 20}
"""More than one worker takes."""

PATIENCE_S = 300
"""Within this a worker has loaded its cascade, or drawn a job, on a slow machine."""


def main(
    build: Annotated[bool, typer.Option(help="Build both images first.")] = True,
    port: Annotated[int, typer.Option(help="Where the API is tried at.")] = 18_000,
) -> None:
    """Build, start in the wrong order, draw, scale, kill, stop and start again with data kept."""
    try:
        project = Project(Engine.found(), port)
    except NoEngine as error:
        sys.exit(str(error))
    if build:
        project.compose("build")
    project.remove()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
            _Sequence(project, client).run()
    except BaseException:
        project.compose("logs")
        raise
    finally:
        project.remove()


class _Sequence:
    def __init__(self, project: Project, client: httpx.Client):
        self._project = project
        self._client = client

    def run(self) -> None:
        began = time.monotonic()
        for step in (
            self._starts_in_any_order,
            self._draws,
            self._has_no_rights,
            self._survives_a_kill,
            self._keeps_what_it_had,
        ):
            step()
            name = step.__name__.removeprefix("_").replace("_", " ")
            print(f"{name}: yes, after {time.monotonic() - began:.0f} s", flush=True)

    def _starts_in_any_order(self) -> None:
        self._project.compose("up", "--detach", "--no-deps", "worker", "api")
        self._until("the API lives", lambda: self._status("/livez") == 200)
        assert self._status("/readyz") == 503, "ready without a queue"
        self._project.compose("up", "--detach")
        self._until_ready()

    def _draws(self) -> None:
        job = self._generate(APPLE)
        picture = self._picture(job)
        assert picture.size == (job["parameters"]["size"],) * 2
        refused = self._client.post("/generate", json={**APPLE, "size": 77})
        assert refused.status_code == 422, refused.text

    def _has_no_rights(self) -> None:
        for service in ("api", "worker"):
            container = self._project.containers(service)[0]
            assert self._project.inside(container, "id", "-u").stdout.strip() == "10001"
            mounts = self._project.inside(container, "cat", "/proc/mounts").stdout.splitlines()
            (root,) = (line.split() for line in mounts if line.split()[1] == "/")
            assert "ro" in root[3].split(","), f"{service} has a root file system to write to"
        (api,) = self._project.containers("api")
        torch = self._project.inside(api, "python", "-c", "import torch")
        assert "No module named 'torch'" in torch.stderr, "the API's image has torch"

    def _survives_a_kill(self) -> None:
        self._project.compose("up", "--detach", "--scale", "worker=2")
        workers = self._project.containers("worker")
        assert len(workers) == 2, workers
        before = self._generate(MANY)
        job = self._client.post("/generate", json=MANY).raise_for_status().json()
        self._until("the job is drawn", lambda: self._job(job)["status"] == "running")
        self._project.kill(workers[0])
        self._until("the job has ended", lambda: self._job(job)["status"] == "succeeded")
        for index in range(N):
            first, second = self._picture(before, index), self._picture(self._job(job), index)
            difference = np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16))
            assert difference.max() <= 1, f"picture {index} differs by {difference.max()} of 255"

    def _keeps_what_it_had(self) -> None:
        job = self._generate(APPLE)
        png = self._png(job)
        self._project.compose("down")
        self._project.compose("up", "--detach")
        self._until_ready()
        assert self._job(job)["status"] == "succeeded"
        assert self._png(job) == png

    def _generate(self, body: dict[str, Any]) -> dict[str, Any]:
        """A job that has ended."""
        asked = self._client.post("/generate", json=body, headers={"prefer": "wait=60"})
        job: dict[str, Any] = asked.raise_for_status().json()
        self._until("the job has ended", lambda: self._job(job)["status"] == "succeeded")
        return self._job(job)

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        """As it stands now."""
        answer = self._client.get(f"/jobs/{job['id']}").raise_for_status()
        now: dict[str, Any] = answer.json()
        return now

    def _png(self, job: dict[str, Any], index: int = 0) -> bytes:
        return self._client.get(job["images"][index]["url"]).raise_for_status().content

    def _picture(self, job: dict[str, Any], index: int = 0) -> Image.Image:
        return Image.open(BytesIO(self._png(job, index))).convert("RGB")

    def _status(self, path: str) -> int | None:
        try:
            return self._client.get(path).status_code
        except httpx.TransportError:
            return None

    def _until_ready(self) -> None:
        self._until("the service is ready", lambda: self._status("/readyz") == 200)

    def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Ask again until it is so: nothing outside a container tells of it."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
            time.sleep(0.2)


if __name__ == "__main__":
    typer.run(main)
