"""The target `compose`: an environment is a proxy and two slots of containers on one host.

The present release fills one slot; its candidate, while there is one, the other. `slots.json` in the volume of the
proxy says which is which; whatever else runs there was left by a caller who was killed.
"""

import contextlib
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from deploy import releases
from deploy.client import Client
from deploy.compose.host import Container, Host
from deploy.compose.images import Images
from deploy.compose.proxy import SLOTS, Proxy, share, weights
from deploy.compose.slots import LOOK_S, Slot, Slots
from deploy.compose.store import Volumes
from deploy.compose.wanted import Wanted
from deploy.counts import Counts
from deploy.store import now, who
from deploy.target import ENVIRONMENTS, Release, Running
from << cookiecutter.__package >>.outcome import Bad, Unjudged

NAME = "slots.json"


class Compose:
    """See `deploy.target.Target` for what each method promises."""

    def __init__(self) -> None:
        self.wanted, self.host = Wanted(), Host()
        self.limits = self.wanted.limits
        self.images = Images(self.host, self.wanted.project())
        self.proxies = {environment: self._proxy(environment) for environment in ENVIRONMENTS}
        self.slots = {environment: self._slots(environment) for environment in ENVIRONMENTS}
        self.store = Volumes(self.proxies)

    def address(self, environment: str) -> str:
        """Where it answers, or would: a port that was set anew counts from the next deployment on."""
        seen = self.host.containers(self.wanted.project(environment), "proxy")
        running = [one.port.rpartition(":")[2] for one in seen if one.running]
        return f"http://{self._name()}:{running[0] if running else self.wanted.port(environment)}"

    def logs(self, environment: str) -> str:
        return f"`docker compose --project-name {self.wanted.project(environment)} logs`"

    def add(self, package: Path) -> Release:
        release = releases.keep(package)
        if not release.image:
            remedy = "Set IMAGE_REGISTRY, or call `make package ARGS=--image` with the engine of this host."
            raise Unjudged(f"{release} has no image to run in a container", remedy)
        return release

    def kept(self, release: Release) -> bool:
        return self.images.kept(release)

    def forget_others(self, wanted: Collection[Release]) -> None:
        releases.forget_others(wanted)
        self.images.forget_others(wanted)

    def begin(self, environment: str, release: Release) -> None:
        self.wanted.reachable(self._name())
        containers = self.wanted.containers(environment)
        self.settle(environment)
        self.images.fetch(release)
        self._mine(environment).up()
        present = self._known(environment).get("present")
        self._alone(environment, present)
        slot = other(present["slot"]) if present else SLOTS[0]
        made = {"slot": slot, "release": release.dict(), "since": now(), "by": who(), "containers": containers}
        failed = self.slots[environment].start(made)
        if failed:
            stays = present and self.slots[environment].seen(present["slot"])
            if not present:
                self.stop(environment, forget=True)
            left = f"{Release.of(present['release'])} still runs" if stays else "nothing runs"
            what = f"{environment}: {release} did not become ready: {failed}; {left}"
            raise Bad(what, f"See {self.logs(environment)}, slot {slot}, then deploy a package that starts.")
        self._note(environment, candidate=made, share=0)

    def share(self, environment: str, percent: float) -> float:
        proxy, known = self._mine(environment), self._known(environment)
        candidate = _candidate(environment, known)
        counted = {one["slot"]: one["containers"] for one in (candidate, known.get("present")) if one}
        weighed = weights(percent, candidate["slot"], counted)
        real = share(weighed, candidate["slot"], counted)
        self._note(environment, share=real, weights=weighed)
        proxy.weigh(weighed)
        return real

    def counts(self, environment: str) -> tuple[Counts, Counts]:
        known, slots = self._known(environment), self.slots[environment]
        return slots.counts(known.get("candidate")), slots.counts(known.get("present"))

    def finish(self, environment: str) -> None:
        candidate = _candidate(environment, self._known(environment))
        self.share(environment, 100)
        self._note(environment, present=candidate, candidate=None, share=0, stopped=False)
        self.slots[environment].end(other(candidate["slot"]))

    def settle(self, environment: str) -> None:
        known, slots = self._known(environment), self.slots[environment]
        present = known.get("present")
        left = [slot for slot in SLOTS if not (present and slot == present["slot"]) and slots.seen(slot)]
        if known.get("candidate") or left:
            self._alone(environment, present)
        for slot in left:
            slots.end(slot)

    def running(self, environment: str) -> Running | None:
        known = self._known(environment)
        present, candidate = known.get("present"), known.get("candidate")
        if not present:
            return None
        seen = self.slots[environment].seen(present["slot"])
        if not known.get("stopped") and (len(seen) < present["containers"] or not self.proxies[environment].runs()):
            seen = self._recovered(environment, present)
        return Running(
            release=Release.of(present["release"]), since=present["since"], by=present["by"], alive=bool(seen),
            ready=bool(seen) and Client(self.address(environment)).ready(), restarts=sum(one.restarts for one in seen),
            candidate=candidate and Release.of(candidate["release"]), share=known.get("share", 0),
        )  # fmt: skip

    def stop(self, environment: str, forget: bool = False) -> bool:
        known = self._known(environment)
        if known and not known.get("stopped"):
            self._note(environment, candidate=None, share=0, stopped=True)
        stopped = [self.slots[environment].stop(slot) for slot in SLOTS]
        if forget:
            self.store.write(environment, NAME, None)
        return any(stopped)

    def _recovered(self, environment: str, present: Slot) -> list[Container]:
        """Bring back what somebody has stopped or removed, unless a word is at work there."""
        slots, held = self.slots[environment], environment in self.store.holders
        own = contextlib.nullcontext() if held else self.store.hold(environment, "status", 0)
        try:
            with own:
                print(f"{environment}: containers were stopped or removed: started again", file=sys.stderr)
                self.proxies[environment].there()
                failed, end = slots.fill(present), time.monotonic() + self.limits["ready_s"]
                client = Client(self.address(environment))
                while not (failed or client.ready() or time.monotonic() > end):
                    time.sleep(LOOK_S)
        except Unjudged as error:
            print(error.what, file=sys.stderr)
        return slots.seen(present["slot"])

    def _alone(self, environment: str, present: Slot | None) -> None:
        """Send every request to the present release; there is no candidate any more, or not yet."""
        proxy, kept = self._mine(environment), present["slot"] if present else ""
        weighed = {slot: int(slot == kept) for slot in SLOTS}
        self._note(environment, candidate=None, share=0, weights=weighed)
        if proxy.runs():
            proxy.weigh(weighed)

    def _known(self, environment: str) -> dict[str, Any]:
        """What slots.json says: `present`, `candidate`, `share`, `weights`, `stopped`."""
        return self.store.read(environment, NAME) or {}

    def _note(self, environment: str, **values: object) -> None:
        self.store.write(environment, NAME, self._known(environment) | values)

    def _mine(self, environment: str) -> Proxy:
        self.store.mine(environment)
        return self.proxies[environment]

    def _name(self) -> str:
        """The host as callers know it."""
        return self.wanted.name or self.host.name()

    def _proxy(self, environment: str) -> Proxy:
        def weighed() -> dict[str, int]:
            return self._known(environment).get("weights") or dict.fromkeys(SLOTS, 0)

        return Proxy(self.host, self.wanted.project(environment), self.wanted.proxy(environment), weighed)

    def _slots(self, environment: str) -> Slots:
        variables, further = self.wanted.service(environment), self.wanted.further
        return Slots(self.host, self.proxies[environment], self.limits, variables, further)


def other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _candidate(environment: str, known: dict[str, Any]) -> Slot:
    if not known.get("candidate"):
        raise Unjudged(f"{environment}: there is no candidate", "Deploy or promote again.")
    return known["candidate"]
