"""What is applied: the overlay of an environment as kustomize renders it, made into one of two releases."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.store import now, who
from deploy.target import Release

HERE = Path(__file__).resolve().parent
PROJECT = "<< cookiecutter.project >>"
SLOTS = ("a", "b")
SLOT = "deploy/slot"  # the label of a release's pods
PRESENT = "deploy/present"  # on the Service: the slot of the release that the environment runs
RELEASE, SINCE, BY = "deploy/release", "deploy/since", "deploy/by"  # on a Deployment: see `Running`
BESIDE, RAISED = "deploy/beside", "deploy/raised"  # on the candidate: pods of the present one, before and now
PODS = f"app.kubernetes.io/name={PROJECT},app.kubernetes.io/component=service"
PRE_STOP_S = 10  # in base/deployment.yaml
Manifest = dict[str, Any]


def overlay(environment: str) -> Path:
    return HERE / "overlays" / environment


def namespace(environment: str) -> str:
    return yaml.safe_load((overlay(environment) / "kustomization.yaml").read_text())["namespace"]


def of_kind(rendered: list[Manifest], kind: str) -> Manifest | None:
    return next((one for one in rendered if one["kind"] == kind), None)


def address(rendered: list[Manifest]) -> str | None:
    """The address that the overlay's Ingress gives the service; None where it has none."""
    ingress = of_kind(rendered, "Ingress")
    host = ingress and ingress["spec"]["rules"][0].get("host")
    return host and f"{'https' if ingress['spec'].get('tls') else 'http'}://{host}"


def deployment_name(slot: str) -> str:
    return f"service-{slot}"


def around(rendered: list[Manifest], slot: str, selected: Mapping[str, str] | None) -> list[Manifest]:
    """Everything but the Deployment; what answers stays what it is, or nothing where there is no Service yet."""
    found = copy.deepcopy([one for one in rendered if one["kind"] not in ("Deployment", "HorizontalPodAutoscaler")])
    service = of_kind(found, "Service")
    service["spec"]["selector"] = dict(selected or service["spec"]["selector"] | {SLOT: "none"})
    scaled = autoscaler(rendered, slot)
    return [*found, *([scaled] if scaled else [])]


def autoscaler(rendered: list[Manifest], slot: str, least: int = 0) -> Manifest | None:
    """The overlay's autoscaler for the Deployment of this slot, with at least so many pods; None where it has none."""
    found = copy.deepcopy(of_kind(rendered, "HorizontalPodAutoscaler"))
    if found:
        found["spec"]["scaleTargetRef"]["name"] = deployment_name(slot)
        found["spec"]["minReplicas"] = max(least, found["spec"].get("minReplicas", 1))
        found["spec"]["maxReplicas"] = max(least, found["spec"]["maxReplicas"])
    return found


def deployment(
    rendered: list[Manifest], environment: str, release: Release, slot: str, pods: int, beside: int,
    variables: Mapping[str, Any], pull_secret: str, drain_s: float,
) -> Manifest:  # fmt: skip
    """The Deployment of a release in a slot, with so many pods, for a move from `beside` pods."""
    made = copy.deepcopy(of_kind(rendered, "Deployment"))
    labels = {SLOT: slot, "deploy/digest": release.digest.removeprefix("sha256:")[:32]}
    labels["app.kubernetes.io/version"] = release.version
    notes = {RELEASE: json.dumps(release.dict(), sort_keys=True), SINCE: now(), BY: who(), BESIDE: str(beside)}
    about, spec = made["metadata"], made["spec"]
    about["name"] = deployment_name(slot)
    spec["replicas"] = pods
    spec["selector"]["matchLabels"][SLOT] = slot
    spec["template"]["metadata"]["labels"] |= labels
    about["labels"] = about.get("labels", {}) | spec["template"]["metadata"]["labels"]
    about["annotations"] = about.get("annotations", {}) | notes
    pod = spec["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = int(drain_s) + PRE_STOP_S
    for spread in pod.get("topologySpreadConstraints", []):
        spread["labelSelector"]["matchLabels"][SLOT] = slot
    if pull_secret:
        pod["imagePullSecrets"] = [{"name": pull_secret}]
    container = pod["containers"][0]
    container["image"] = release.image
    given = {str(name): str(value) for name, value in variables.items()}
    given |= {"MODEL_VERSION": release.version, "DEPLOYMENT": environment}
    others = [one for one in container.get("env", []) if one["name"] not in given]
    container["env"] = [*others, *({"name": name, "value": value} for name, value in given.items())]
    return made


def counts(percent: float, present: int, more: int) -> tuple[int, int]:
    """How many pods of candidate and present release come nearest to the share; the fewest of those.

    The present one keeps its pods and gets at most so many `more`; the candidate has at most as many as that had.
    """
    choices = [(new, old) for new in range(1, present + 1) for old in range(present, present + more + 1)]
    return min(choices, key=lambda pair: (abs(100 * pair[0] / sum(pair) - percent), sum(pair)))
