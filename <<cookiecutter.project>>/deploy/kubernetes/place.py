"""The target `kubernetes`: in each environment's namespace a Service, and behind it one Deployment, or two.

The Service says which of the two slots holds the present release, and its selector, whose pods answer: callers are
shared out by the number of pods. What runs is written on the objects themselves, so nothing is kept on this machine but
the packages' rows.
"""

import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from deploy import releases
from deploy.client import Client
from deploy.containers.registry import Registry
from deploy.counts import Counts
from deploy.kubernetes import manifests, pods
from deploy.kubernetes.cluster import Cluster
from deploy.kubernetes.manifests import BESIDE, BY, PODS, RAISED, SINCE, SLOT, SLOTS
from deploy.kubernetes.space import LOOK_S, Here, Space
from deploy.kubernetes.store import Objects
from deploy.target import Release, Running, release_limits, settings
from << cookiecutter.__package >>.outcome import Outcome, Unjudged

ROUTED_S = 20


class Kubernetes:
    """See `deploy.target.Target` for what each method promises."""

    def __init__(self) -> None:
        everywhere = settings()
        self.settings, self.variables = everywhere["kubernetes"], everywhere["variables"]
        self.limits = release_limits()
        self.cluster = Cluster()
        self.store = Objects(self.cluster, manifests.namespace)

    def address(self, environment: str) -> str:
        name = f"{environment.upper()}_URL"
        found = os.environ.get(name) or manifests.address(self._space(environment).rendered())
        if not found:
            remedy = f"Set {name}, or the host of deploy/kubernetes/overlays/{environment}/ingress.yaml."
            raise Unjudged(f"the address of {environment} is not known", remedy)
        return found.rstrip("/")

    def logs(self, environment: str) -> str:
        return f"`kubectl logs --namespace {manifests.namespace(environment)} --selector {PODS} --prefix`"

    def add(self, package: Path) -> Release:
        release = releases.keep(package)
        if "@" not in release.image:
            what = f"{release} has no image that a cluster can pull"
            raise Unjudged(what, "Set IMAGE_REGISTRY and call `make package` again (docs/image.md).")
        return release

    def kept(self, release: Release) -> bool:
        """Whether its image is in the registry; also where that does not answer, for nodes keep images too."""
        with suppress(Unjudged):
            return Registry(release.image).manifest(release.image.partition("@")[2]) is not None
        return True

    def forget_others(self, wanted: Collection[Release]) -> None:
        releases.forget_others(wanted)  # images: `package --sweep`

    def begin(self, environment: str, release: Release) -> None:
        self.settle(environment)
        space = self._space(environment)
        here, rendered = space.look(), space.rendered()
        present, beside = here.present, here.asked(here.present)
        slot = next(slot for slot in SLOTS if slot != present)
        count = max(beside, manifests.of_kind(rendered, "Deployment")["spec"]["replicas"])
        made = manifests.deployment(
            rendered, environment, release, slot, count, beside,
            self.variables, self.settings["pull_secret"], self.limits["drain_s"],
        )  # fmt: skip
        try:
            for manifest in [*manifests.around(rendered, present if beside else slot, here.selector), made]:
                space.apply(manifest)
            space.wait(slot, count)
        except Outcome as error:
            self.settle(environment)
            left = f"{here.release(present)} still runs" if beside else "nothing runs"
            what = f"{environment}: {release} did not become ready: {error.what}; {left}"
            raise type(error)(what, error.remedy or "Deploy a package that starts.") from error

    def share(self, environment: str, percent: float) -> float:
        space, here = self._moving(environment)
        old, new = here.present, here.candidate
        fresh, former = manifests.counts(percent, max(int(here.note(new, BESIDE)), 1), self.settings["more_pods"])
        grown = here.asked(old) > max(former, raised(here))  # by the autoscaler, for the callers
        space.change(new, {"metadata": {"annotations": {RAISED: str(former)}}})
        space.autoscale(old, former)
        if not grown:
            space.scale(old, former)
        space.scale(new, fresh)
        space.wait(new, fresh)
        space.wait(old, former, more=grown)
        space.select(None)
        return 100 * fresh / (fresh + len(space.alive(old)))

    def counts(self, environment: str) -> tuple[Counts, Counts]:
        space = self._space(environment)
        here = space.look()
        return space.counted(here.candidate), space.counted(here.present)

    def finish(self, environment: str) -> None:
        space, here = self._moving(environment)
        old, new = here.present, here.candidate
        count = needed(here)
        try:
            space.scale(new, count)
            space.wait(new, count)
        except Outcome:
            self.settle(environment)
            raise
        space.autoscale(new)
        space.select(new, present=new)
        if old in here.deployments:
            space.remove(old)
        else:
            self._until_answering(environment)

    def settle(self, environment: str) -> None:
        self.store.still(environment)
        space = self._space(environment)
        here = space.look()
        old, new = here.present, here.candidate
        if here.service and here.selector.get(SLOT) != (old or "none"):
            space.select(old or "none")
        if new is None:
            return
        if old in here.deployments:
            if here.asked(old) == raised(here):
                space.scale(old, int(here.note(new, BESIDE)))
            space.autoscale(old)
        space.remove(new)

    def running(self, environment: str) -> Running | None:
        space = self._space(environment)
        here = space.look()
        slot, new = here.present, here.candidate
        if slot not in here.deployments:
            return None
        mine, others = space.alive(slot), space.alive(new) if new else []
        answering, beside = (sum(map(pods.ready, found)) for found in (mine, others))
        shared = SLOT not in here.selector and beside
        return Running(
            release=here.release(slot), since=here.note(slot, SINCE), by=here.note(slot, BY),
            alive=bool(mine), ready=answering > 0, restarts=sum(map(pods.restarts, mine)),
            candidate=here.release(new) if new else None,
            share=round(100 * beside / (beside + answering), 1) if shared else 0,
        )  # fmt: skip

    def stop(self, environment: str, forget: bool = False) -> bool:
        space = self._space(environment)
        here = space.look()
        was = any(space.alive(slot) for slot in here.deployments)
        for slot in here.deployments:
            if forget or slot != here.present:
                space.remove(slot)
            else:
                space.scale(slot, 0)
                space.until_gone(slot)
        if forget and here.service:
            space.select("none", present=None)
        return was

    def _until_answering(self, environment: str) -> None:
        """Where nothing ran before, nodes and ingress hear of it now; whoever cannot ask from here waits in vain."""
        end = time.monotonic() + ROUTED_S
        with suppress(Unjudged):
            client = Client(self.address(environment), timeout_s=2)
            while not client.ready() and time.monotonic() < end:
                time.sleep(LOOK_S)

    def _space(self, environment: str) -> Space:
        return Space(self.cluster, environment, self.limits["ready_s"], self.limits["drain_s"])

    def _moving(self, environment: str) -> tuple[Space, Here]:
        """Raises Unjudged where there is no candidate, or where somebody else may be at work."""
        self.store.still(environment)
        space = self._space(environment)
        here = space.look()
        if here.candidate is None:
            raise Unjudged(f"{environment}: there is no candidate: somebody has removed it", "Call again.")
        return space, here


def raised(here: Here) -> int:
    """The pods that the present release was given for the share that is set, or for none."""
    return int(here.note(here.candidate, RAISED) or here.note(here.candidate, BESIDE))


def needed(here: Here) -> int:
    """The pods with which the candidate can answer alone: as many as the present release had, or has grown to."""
    before, now = int(here.note(here.candidate, BESIDE)), here.asked(here.present)
    return (now if now > raised(here) else before) or here.asked(here.candidate)
