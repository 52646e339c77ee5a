"""deploy/kubernetes: Kubernetes takes every object, and they agree with each other and the code."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from app.main import create_app
from app.processes.server import FINISH_ANSWERS_S
from app.settings import ApiSettings
from app.telemetry.logs import LogSettings
from tests.app.conftest import free_port
from tests.deploy.kubernetes import (
    COMPONENTS,
    CRDS,
    FOLDER,
    Manifest,
    build,
    containers,
    of_kind,
    overlay,
    pods,
    selects,
)
from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE
from workers.metrics import WorkerMetrics, serving
from workers.settings import WorkerSettings
from workers.worker import LAST_WORDS_S

KUBERNETES = "1.32"
"""preStop.sleep is on by default since 1.30, and stable since 1.34."""

STAGES_OF = {"DeepFloyd/IF-I-XL-v1.0": "64", "DeepFloyd/IF-II-L-v1.0": "256"}
"""As the hub's configurations say."""

BUILDS = {
    "cpu": ("overlays/cpu", ["monitoring"]),
    "gpu-stages": ("overlays/gpu-stages", []),
    "gpu-stages, Sentinel": ("overlays/gpu-stages", ["redis-sentinel", "monitoring"]),
}


@pytest.fixture(scope="module", params=BUILDS)
def manifests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    base, components = BUILDS[request.param]
    return build(overlay(tmp_path_factory.mktemp("overlay"), base, components))


@pytest.fixture(scope="module")
def staged() -> list[Manifest]:
    return build(FOLDER / "overlays/gpu-stages")


def test_every_object_is_one_that_kubernetes_takes(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] in CRDS:
            jsonschema.validate(manifest, CRDS[manifest["kind"]])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_every_component_is_built() -> None:
    built = {name for _, components in BUILDS.values() for name in components}
    for base, _ in BUILDS.values():
        kustomization = yaml.safe_load((FOLDER / base / "kustomization.yaml").read_text())
        built |= {Path(path).name for path in kustomization["components"]}
    assert built == {folder.name for folder in COMPONENTS.iterdir()}


def test_settings_are_those_that_are_read(manifests: list[Manifest]) -> None:
    known = {
        f"IMAGEN_{name.upper()}"
        for kind in (ApiSettings, WorkerSettings, LogSettings)
        for name in kind.model_fields
    }
    told = {name for each in of_kind(manifests, "ConfigMap") for name in each["data"]}
    told |= {variable["name"] for each in containers(manifests) for variable in each.get("env", ())}
    assert {name for name in told if name.startswith("IMAGEN_")} <= known


def test_what_is_named_is_there(manifests: list[Manifest]) -> None:
    """Secrets apart, which are not in git."""
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    needed: set[tuple[str, str]] = set()
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        needed.add(("Deployment", scaler["spec"]["scaleTargetRef"]["name"]))
        for trigger in scaler["spec"].get("triggers", ()):
            needed.add(("TriggerAuthentication", trigger["authenticationRef"]["name"]))
    for pod in pods(manifests):
        if "serviceAccountName" in pod["spec"]:
            needed.add(("ServiceAccount", pod["spec"]["serviceAccountName"]))
        for volume in pod["spec"].get("volumes", ()):
            if "configMap" in volume:
                needed.add(("ConfigMap", volume["configMap"]["name"]))
            if "persistentVolumeClaim" in volume:
                needed.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        for container in pod["spec"]["containers"]:
            for source in container.get("envFrom", ()):
                if "configMapRef" in source:
                    needed.add(("ConfigMap", source["configMapRef"]["name"]))
    assert needed <= there


def test_selectors_find_the_pods_and_ports_that_they_mean(manifests: list[Manifest]) -> None:
    everything = pods(manifests)
    for each in of_kind(manifests, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        labels = each["spec"]["selector"]["matchLabels"]
        assert sum(selects(labels, pod) for pod in everything) == 1, each["metadata"]["name"]
    for service in of_kind(manifests, "Service"):
        (pod,) = (pod for pod in everything if selects(service["spec"]["selector"], pod))
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named_ports([pod])
    for policy in of_kind(manifests, "NetworkPolicy"):
        labels = policy["spec"]["podSelector"].get("matchLabels", {})
        meant = [pod for pod in everything if selects(labels, pod)]
        ports = {
            port["port"]
            for rule in policy["spec"].get("ingress", ())
            for port in rule.get("ports", ())
        }
        assert meant, policy["metadata"]["name"]
        assert ports <= named_ports(meant)
    for monitor in of_kind(manifests, "PodMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        meant = [pod for pod in everything if selects(labels, pod)]
        ports = {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]}
        assert meant
        assert ports <= named_ports(meant)


def named_ports(meant: Sequence[Manifest]) -> set[str]:
    """Those that every one of the pods has."""
    names = [{port["name"] for port in pod["spec"]["containers"][0]["ports"]} for pod in meant]
    return set.intersection(*names)


def test_no_pod_may_do_more_than_it_needs(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
    (deny,) = (each for each in manifests if each["metadata"]["name"] == "deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_groups_serve_every_stage_once_and_are_scaled_by_its_tasks(staged: list[Manifest]) -> None:
    (cascade,) = (each for each in of_kind(staged, "ConfigMap") if "cascade.json" in each["data"])
    entries = json.loads(cascade["data"]["cascade.json"])["stages"]
    scalers = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]
        for each in of_kind(staged, "ScaledObject")
    }
    served: list[str] = []
    for worker in of_kind(staged, "Deployment"):
        name = worker["metadata"]["name"]
        (container,) = worker["spec"]["template"]["spec"]["containers"]
        if container["args"] == ["api"]:
            continue
        command, option, stage = container["args"]
        assert (command, option) == ("worker", "--stages")
        lists = [trigger["metadata"]["listName"] for trigger in scalers[name]["triggers"]]
        assert lists == [keys.ready(stage), keys.held(stage)]
        formula = scalers[name]["advanced"]["scalingModifiers"]["formula"]
        assert formula.split(" + ") == [trigger["name"] for trigger in scalers[name]["triggers"]]
        # Without a worker there is no card, and the API would accept nothing.
        assert stage != TEXT_STAGE or scalers[name]["minReplicaCount"] > 0
        has_gpu = "nvidia.com/gpu" in container["resources"]["limits"]
        assert has_gpu is (stage != TEXT_STAGE)
        served.append(stage)
    assert sorted(served) == sorted([TEXT_STAGE, *(STAGES_OF[entry] for entry in entries)])


def test_keda_is_told_where_redis_is_under_the_name_that_its_scaler_knows(
    manifests: list[Manifest],
) -> None:
    name = {"redis": "address", "redis-sentinel": "addresses"}
    told = {
        each["metadata"]["name"]: {
            secret["parameter"] for secret in each["spec"]["secretTargetRef"]
        }
        for each in of_kind(manifests, "TriggerAuthentication")
    }
    for scaler in of_kind(manifests, "ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            known = told[trigger["authenticationRef"]["name"]] & {*name.values()}
            assert known == {name[trigger["type"]]}


def test_a_rollout_does_not_take_the_only_worker_that_shows_a_card(
    manifests: list[Manifest],
) -> None:
    showing = [
        worker["spec"]["strategy"]["rollingUpdate"]
        for worker in of_kind(manifests, "Deployment")
        if worker["spec"]["template"]["spec"]["containers"][0]["args"]
        in (["worker"], ["worker", "--stages", TEXT_STAGE])
    ]
    assert showing == [{"maxSurge": 1, "maxUnavailable": 0}]


def test_nobody_gives_up_a_pod_that_may_still_start(manifests: list[Manifest]) -> None:
    starting_s: dict[str, int] = {}
    for each in of_kind(manifests, "Deployment"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        probe = container["startupProbe"]
        starts_s = probe["periodSeconds"] * probe["failureThreshold"]
        assert starts_s < each["spec"]["progressDeadlineSeconds"]
        starting_s[container["name"]] = starts_s
    assert starting_s["api"] >= starting_s["worker"]


def test_the_apis_probes_are_routes_and_it_has_time_to_end(
    staged: list[Manifest], tmp_path: Path
) -> None:
    (pod,) = (each for each in pods(staged) if each["spec"]["containers"][0]["name"] == "api")
    (api,) = pod["spec"]["containers"]
    routes = create_app(ApiSettings(data_dir=tmp_path)).openapi()["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert api[probe]["httpGet"]["path"] in routes
    assert api["startupProbe"]["httpGet"]["path"] == "/readyz"
    needs_s = api["lifecycle"]["preStop"]["sleep"]["seconds"] + FINISH_ANSWERS_S
    assert pod["spec"]["terminationGracePeriodSeconds"] > needs_s


def test_a_worker_has_started_when_its_stages_are_loaded(staged: list[Manifest]) -> None:
    """The probe itself is run against the metrics of a worker."""
    worker = next(each for each in containers(staged) if each["name"] == "worker")
    python, *command = worker["startupProbe"]["exec"]["command"]
    assert python == "python"
    port = free_port()
    environment = {each["name"]: each.get("value") for each in worker["env"]}
    assert environment["IMAGEN_METRICS_PORT"] == str(worker["ports"][0]["containerPort"])
    probe = [word.replace(environment["IMAGEN_METRICS_PORT"], str(port)) for word in command]

    def passes() -> bool:
        return subprocess.run([sys.executable, *probe], stderr=subprocess.DEVNULL).returncode == 0

    metrics = WorkerMetrics()
    assert not passes()
    with serving(metrics, "127.0.0.1", port):
        assert not passes()
        metrics.meter(TEXT_STAGE, 8)
        assert passes()


def test_a_worker_has_time_to_hand_its_tasks_back(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        if pod["spec"]["containers"][0]["name"] == "worker":
            grace_s: Any = WorkerSettings.model_fields["grace_s"].default
            assert pod["spec"]["terminationGracePeriodSeconds"] >= grace_s + LAST_WORDS_S + 10
