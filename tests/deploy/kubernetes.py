"""Builds deploy/kubernetes as kubectl would, and finds things in what comes out."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
COMPONENTS = FOLDER / "components"

CRDS: Manifest = yaml.safe_load((Path(__file__).parent / "crds.yaml").read_text())
"""JSON schemas of other projects' objects, by kind."""

OLDEST_KUSTOMIZE = (5, 0)
"""Those before know other fields, or none of components."""


def build(folder: Path) -> list[Manifest]:
    """All objects of a kustomization. Skips the test where nothing here can build it."""
    program = _kustomize()
    if program is None:
        pytest.skip("neither kustomize 5 nor a kubectl with it is here")
    done = subprocess.run([*program, folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def overlay(folder: Path, base: str, components: Sequence[str]) -> Path:
    """Writes one more overlay, with more components."""
    lines: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "imagen",
        "resources": [os.path.relpath(FOLDER / base, folder)],
        "components": [os.path.relpath(COMPONENTS / name, folder) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(lines))
    return folder


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pods(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Templates of pods: those of deployments and stateful sets."""
    return [each["spec"]["template"] for each in of_kind(manifests, "Deployment", "StatefulSet")]


def containers(manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    for pod in pods(manifests):
        yield from pod["spec"]["containers"]


def selects(labels: dict[str, str], pod: Manifest) -> bool:
    return all(pod["metadata"]["labels"].get(name) == value for name, value in labels.items())


def _kustomize() -> list[str] | None:
    for command, version in (
        (["kustomize", "build"], ["kustomize", "version"]),
        (["kubectl", "kustomize"], ["kubectl", "version", "--client"]),
    ):
        if shutil.which(command[0]) is not None:
            said = subprocess.run(version, capture_output=True, text=True, timeout=60).stdout
            if _version(said) >= OLDEST_KUSTOMIZE:
                return command
    return None


def _version(said: str) -> tuple[int, ...]:
    """Of kustomize, the last that is said: v5.5.0, or Kustomize Version: v5.5.0."""
    _, _, number = said.strip().rpartition("v")
    digits = number.split(".")[:2]
    return tuple(int(part) for part in digits if part.isdecimal())
