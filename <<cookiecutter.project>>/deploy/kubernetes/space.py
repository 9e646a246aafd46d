"""One environment's namespace: what it holds, and the few things that are done to it."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from deploy.counts import Counts
from deploy.kubernetes import manifests, pods
from deploy.kubernetes.answers import Unanswered
from deploy.kubernetes.cluster import Cluster
from deploy.kubernetes.manifests import PODS, PRESENT, SLOT
from deploy.target import Release
from << cookiecutter.__package >>.outcome import Unjudged

LOOK_S = 0.25
LATE_S = 30  # beyond the time for draining
NEWS_S = 10  # within which the cluster hears of a process that has ended


@dataclass(frozen=True)
class Here:
    """What the namespace holds: the Service, and the Deployment of each slot that has one."""

    service: dict[str, Any] | None
    deployments: dict[str, dict[str, Any]]

    @property
    def present(self) -> str | None:
        """The slot of the release that the environment runs, or was last given."""
        return ((self.service or {}).get("metadata", {}).get("annotations") or {}).get(PRESENT)

    @property
    def candidate(self) -> str | None:
        return next((slot for slot in self.deployments if slot != self.present), None)

    @property
    def selector(self) -> dict[str, str]:
        return self.service["spec"]["selector"] if self.service else {}

    def asked(self, slot: str | None) -> int:
        """How many pods are asked for."""
        return self.deployments[slot]["spec"]["replicas"] if slot in self.deployments else 0

    def note(self, slot: str, name: str) -> str:
        return self.deployments[slot]["metadata"]["annotations"].get(name, "")

    def release(self, slot: str) -> Release:
        return Release.of(json.loads(self.note(slot, manifests.RELEASE)))


class Space:
    """The namespace of an environment; `ready_s` and `drain_s` are those of gates.yaml's `release`."""

    def __init__(self, cluster: Cluster, environment: str, ready_s: float, drain_s: float) -> None:
        self.cluster, self.environment = cluster, environment
        self.ready_s, self.drain_s = ready_s, drain_s
        self.name = manifests.namespace(environment)

    def rendered(self) -> list[dict[str, Any]]:
        return self.cluster.kustomize(manifests.overlay(self.environment))

    def look(self) -> Here:
        service = self.cluster.get(self.core("services/service"))
        listed = (self.cluster.get(f"{self.deployment('')}?labelSelector={PODS}") or {}).get("items", [])
        ours = [one for one in listed if "deletionTimestamp" not in one["metadata"]]
        slots = {one["metadata"]["labels"][SLOT]: one for one in ours if SLOT in one["metadata"].get("labels", {})}
        return Here(service, slots)

    def apply(self, manifest: dict[str, Any]) -> None:
        self.cluster.apply(self.name, manifest)

    def select(self, slot: str | None, **notes: str | None) -> None:
        """Let the pods of this slot answer, or those of both; `present` is noted in the same instant."""
        change: dict[str, Any] = {"spec": {"selector": {SLOT: slot}}}
        if notes:
            change["metadata"] = {"annotations": {PRESENT: notes["present"]}}
        self.cluster.patch(self.core("services/service"), change)

    def scale(self, slot: str, count: int) -> None:
        self.change(slot, {"spec": {"replicas": count}})

    def change(self, slot: str, change: dict[str, Any]) -> None:
        self.cluster.patch(self.deployment(slot), change)

    def autoscale(self, slot: str, least: int = 0) -> None:
        """Point the autoscaler, where there is one, at this slot."""
        scaled = manifests.autoscaler(self.rendered(), slot, least)
        if scaled:
            self.apply(scaled)

    def remove(self, slot: str) -> None:
        """Let the pods of a slot finish what they have accepted, and end."""
        self.cluster.delete(self.deployment(slot))
        self.until_gone(slot)

    def until_gone(self, slot: str) -> None:
        """Return when no pod of the slot is left, or all time is over: a node that is not heard of ends them later."""
        end = time.monotonic() + self.drain_s + manifests.PRE_STOP_S + LATE_S
        while self.listed(slot) and time.monotonic() < end:
            time.sleep(LOOK_S)

    def wait(self, slot: str, count: int, more: bool = False) -> None:
        """Return when so many pods, or also more, are ready; raises Bad or Unjudged where they will not be in time."""
        told: list[str] = []
        end = time.monotonic() + self.ready_s
        while True:
            found = self.alive(slot)
            answering = sum(map(pods.ready, found))
            if answering == len(found) == count or (more and answering >= count):
                return
            failed = None if more else pods.ended(found, self.last_line) or pods.unpulled(found, told)
            if failed:
                raise failed
            if time.monotonic() > end:
                status = self.look().deployments.get(slot, {}).get("status", {})
                raise pods.late(found, status.get("conditions", []), told, self.ready_s, self.last_warning)
            time.sleep(LOOK_S)

    def alive(self, slot: str) -> list[pods.Pod]:
        return pods.alive(self.listed(slot))

    def listed(self, slot: str) -> list[pods.Pod]:
        """The pods of a slot, also those that are on their way out."""
        return (self.cluster.get(self.core(f"pods?labelSelector={PODS},{SLOT}={slot}")) or {}).get("items", [])

    def last_line(self, pod: pods.Pod) -> str:
        """The last line that a pod has logged before its container ended."""
        for which in ("&previous=true", ""):
            path = self.core(f"pods/{pod['metadata']['name']}/log?tailLines=20{which}")
            lines = self._read(path, lambda text: [line.strip() for line in text.splitlines() if line.strip()])
            if lines:
                return lines[-1][:300]
        return ""

    def last_warning(self, pod: pods.Pod) -> str:
        """What the cluster last warned of about a pod: that its probe fails, or what its node lacks for it."""
        about = f"events?fieldSelector=involvedObject.name={pod['metadata']['name']},type=Warning"
        events = self._read(self.core(about), lambda text: json.loads(text)["items"])
        if not events:
            return ""
        last = max(events, key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
        return f"{last['reason']}: {last['message'].strip()}"[:300]

    def counted(self, slot: str | None) -> Counts:
        """What the pods of a slot have counted; one that is not ready, or that leaves, is left out."""
        if slot is None:
            return Counts()
        end = time.monotonic() + NEWS_S
        while True:
            found = self.alive(slot)
            answering = [pod["metadata"]["name"] for pod in found if pods.ready(pod)]
            paths = [self.core(f"pods/{name}:3000/proxy/metrics") for name in answering]
            parts = [counts for path in paths if (counts := self._read(path, Counts.parse))]
            if parts or not answering:
                return replace(Counts.sum(parts), restarts=sum(map(pods.restarts, found)))
            if time.monotonic() > end:  # otherwise they have ended, and the cluster has not heard of it yet
                what = f"{self.environment}: the API server does not reach /metrics of the pods"
                raise Unjudged(what, 'Let it in (docs/kubernetes.md, "The network").')
            time.sleep(LOOK_S)

    def _read(self, path: str, meaning: Callable[[str], Any]) -> Any:
        """What a pod answers, by way of the API server; None where it does not."""
        with suppress(Unanswered):
            status, content = self.cluster.once("GET", path)
            if status == 200:
                return meaning(content.decode(errors="replace"))
        return None

    def core(self, rest: str) -> str:
        return f"/api/v1/namespaces/{self.name}/{rest}"

    def deployment(self, slot: str) -> str:
        """The path of a slot's Deployment, or, for "", of all."""
        path = f"/apis/apps/v1/namespaces/{self.name}/deployments"
        return f"{path}/{manifests.deployment_name(slot)}" if slot else path
