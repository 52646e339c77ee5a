"""Runs docker-compose.yml as a project of its own, with whichever engine is there."""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOLD = ("IMAGEN_", "AWS_", "COMPOSE_")
"""What the names of variables begin with that docker-compose.yml hears of."""


class NoEngine(Exception):
    """Neither Docker nor podman runs containers here."""


@dataclass(frozen=True)
class Engine:
    """The commands of an engine: of its containers, and of compose files."""

    run: tuple[str, ...]
    compose: tuple[str, ...]

    @classmethod
    def found(cls) -> "Engine":
        """Docker, else podman with podman-compose. Raises NoEngine."""
        if _answers("docker", "info") and _answers("docker", "compose", "version"):
            return cls(("docker",), ("docker", "compose"))
        if _answers("podman", "info") and shutil.which("podman-compose"):
            return cls(("podman",), ("podman-compose",))
        raise NoEngine("install Docker with compose, or podman with podman-compose")


@dataclass(frozen=True)
class Project:
    """The services of docker-compose.yml under a name of their own, and told nothing but a port.

    What the environment or .env says may be of a real service, whose queue must not be touched.
    port: where the API is published at, on this machine alone. Raises CalledProcessError.
    """

    engine: Engine
    port: int
    name: str = "imagen-test"
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        ours = {"IMAGEN_PORT": str(self.port), "COMPOSE_PROJECT_NAME": self.name}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(TOLD)}
        object.__setattr__(self, "_environment", {**kept, **ours})

    def compose(self, *words: str) -> None:
        """`docker compose WORDS`, its output where ours goes."""
        command = [*self.engine.compose, "--env-file", os.devnull, *words]
        print("$", shlex.join(command), flush=True)
        subprocess.run(command, cwd=ROOT, env=self._environment, check=True)

    def remove(self) -> None:
        """All of it, with its data."""
        for container in self._listed("--all"):  # podman-compose forgets those it scaled to
            self._asked("rm", "--force", container)
        self.compose("down", "--volumes")

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers."""
        return self._listed(f"--filter=label=com.docker.compose.service={service}")

    def _listed(self, *words: str) -> list[str]:
        ours = f"--filter=label=com.docker.compose.project={self.name}"
        return self._asked("ps", "--quiet", "--no-trunc", ours, *words).split()

    def kill(self, container: str) -> None:
        """SIGKILL, as when memory is out."""
        self._asked("kill", container)

    def inside(self, container: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container, whatever its status."""
        return subprocess.run(
            [*self.engine.run, "exec", container, *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def _asked(self, *words: str) -> str:
        command = [*self.engine.run, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _answers(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
