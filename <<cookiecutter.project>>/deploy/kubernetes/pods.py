"""How pods do, and in one sentence why they do not."""

from collections.abc import Callable
from typing import Any

from deploy.kubernetes.answers import forbidden
from << cookiecutter.__package >>.outcome import Bad, Outcome, Unjudged

Pod = dict[str, Any]
ABSENT = ("not found", "manifest unknown", "invalid reference", "InvalidImageName")
REFUSED = ("unauthorized", "denied", "forbidden", "authorization failed", "no basic auth")
PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
UNSTARTED = ("ContainerCreating", "PodInitializing")
ROOM = "Add nodes, or ask for less in the overlay's resources."


def alive(pods: list[Pod]) -> list[Pod]:
    """Those that are neither on their way out nor ended, as an evicted one has."""
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Failed", "Succeeded")
    ]


def ready(pod: Pod) -> bool:
    return _condition(pod, "Ready").get("status") == "True"


def restarts(pod: Pod) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))


def ended(pods: list[Pod], log: Callable[[Pod], str]) -> Bad | None:
    """What to raise where a container has ended: it will not get better; `log` gives a pod's last line."""
    for pod, status in _containers(pods):
        last = status["state"].get("terminated") or status.get("lastState", {}).get("terminated")
        if last:
            cause = ", out of memory (OOMKilled)" if last.get("reason") == "OOMKilled" else ""
            line = log(pod)
            return Bad(f"it ended with exit code {last['exitCode']}{cause}{': ' if line else ''}{line}")
    return None


def unpulled(pods: list[Pod], told: list[str]) -> Outcome | None:
    """What to raise where an image will never come; what is told on the way is added to `told`.

    The sentence that says why comes and goes with each try.
    """
    for _, status in _containers(pods):
        waiting = status["state"].get("waiting", {})
        if waiting.get("reason") not in PULLING:
            continue
        why = waiting.get("message") or waiting["reason"]
        if why not in told and not (told and why.startswith("Back-off")):
            told.insert(0, why)
        if any(mark in f"{why} {waiting['reason']}" for mark in ABSENT):
            return Bad(f"its image is not in the registry: {why}", "Call `make package` again, with IMAGE_REGISTRY.")
        if any(mark in why.lower() for mark in REFUSED):
            remedy = "Make the secret that deploy/settings.yaml's `pull_secret` names (docs/kubernetes.md)."
            return Unjudged(f"the registry does not let the cluster pull: {why}", remedy)
    return None


def late(
    pods: list[Pod], conditions: list[dict[str, Any]], told: list[str], limit_s: float, warning: Callable[[Pod], str]
) -> Outcome:
    """What to raise where the time is over: what is the cluster's fault is no judgement of the release.

    `warning` gives what the cluster last warned of about a pod.
    """
    pending = [one["message"] for one in conditions if one["type"] == "ReplicaFailure" and one["status"] == "True"]
    if pending:
        return Unjudged(*forbidden(pending[0]))
    waiting = [status["state"]["waiting"] for _, status in _containers(pods) if "waiting" in status["state"]]
    for one in waiting:
        if one.get("reason") in PULLING:
            why = told[0] if told else one.get("message", one["reason"])
            remedy = "See whether the registry answers, and whether the nodes reach it; then call again."
            return Unjudged(f"its image could not be pulled: {why}", remedy)
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        if scheduled.get("reason") == "Unschedulable":
            return Unjudged(f"no node takes its pods: {scheduled.get('message', '')}", ROOM)
    for one in waiting:
        if one.get("message"):
            return Bad(f"its container does not start: {one['reason']}: {one['message']}")
    unready = [pod for pod in pods if not ready(pod)]
    why = next((f": {said}" for said in map(warning, unready) if said), "")
    if any(one.get("reason") in UNSTARTED for one in waiting):
        remedy = "See what the node lacks: `kubectl describe pod`; then call again."
        return Unjudged(f"its node has not started it within {limit_s:g} s{why}", remedy)
    return Bad(f"it was not ready within {limit_s:g} s ({len(pods) - len(unready)} of {len(pods)} pods are){why}")


def _containers(pods: list[Pod]) -> list[tuple[Pod, dict[str, Any]]]:
    return [(pod, status) for pod in pods for status in pod["status"].get("containerStatuses", [])]


def _condition(pod: Pod, name: str) -> dict[str, Any]:
    return next((one for one in pod["status"].get("conditions", []) if one["type"] == name), {})
