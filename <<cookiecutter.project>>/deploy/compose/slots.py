"""The containers of an environment: a slot is filled with a release, asked what it has counted, ended."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deploy.compose.host import Container, Host
from deploy.compose.proxy import Proxy
from deploy.containers.engine import Failed, explained
from deploy.counts import Counts

LOOK_S = 0.2
QUIET_S = 10  # for a container to end that has nothing to answer any more
UNASKED_S = 2  # for one that never had
Slot = dict[str, Any]  # slot (a or b), release, since, by, containers (how many)


class Slots:
    """Both slots of an environment, whose containers are the compose project `proxy.project`.

    `variables` are those of compose.yaml that every release gets, `further` those of the service itself.
    """

    def __init__(
        self, host: Host, proxy: Proxy, limits: Mapping[str, float],
        variables: Mapping[str, object], further: Mapping[str, object],
    ) -> None:  # fmt: skip
        self.host, self.proxy, self.limits, self.variables = host, proxy, limits, variables
        self.further = {name: str(value) for name, value in further.items()}

    def start(self, made: Slot) -> str | None:
        """Fill a slot anew, and wait until all of it is ready; returns why it is not, and ends it then."""
        self.host.remove(self.proxy.project, made["slot"])
        self.proxy.doubt(made["slot"])
        try:
            failed = self.fill(made) or self._waited(made["slot"])
        except BaseException:
            self.host.stop(self.proxy.project, made["slot"], UNASKED_S)
            raise
        if failed:
            self.host.stop(self.proxy.project, made["slot"], UNASKED_S)
        return failed

    def fill(self, made: Slot) -> str | None:
        """Have the containers of a slot run, as far as they do not yet; returns why the image cannot be run."""
        release = made["release"]
        given = {
            **self.variables, "IMAGE": release["image"], "VERSION": release["version"], "REPLICAS": made["containers"],
            "RELEASE": json.dumps(release, sort_keys=True), "SINCE": made["since"], "BY": made["by"],
        }  # fmt: skip
        more = {"services": {made["slot"]: {"environment": self.further}}}
        words = ("up", "--detach", "--no-deps", "--no-build", "--no-recreate", "--pull", "never", made["slot"])
        try:
            self.host.compose(self.proxy.project, given, *words, more=more)
        except Failed as error:
            if "OCI runtime" in error.said:  # there is no such program in the image, or the like
                return str(error)
            raise explained(f"the containers of {self.proxy.project} could not be started", error) from error
        return None

    def _waited(self, slot: str) -> str | None:
        end = time.monotonic() + self.limits["ready_s"]
        while True:
            seen = self.host.containers(self.proxy.project, slot)
            ended = next((one for one in seen if not one.running), None)
            if ended:
                why = f"it ran out of its {self.variables['MEMORY_MB']} MB" if ended.oom else "it ended"
                return f"{why} with exit code {ended.code}: {self.host.last(ended)}"
            if not any(one.restarts for one in seen) and self.proxy.ready(slot, [one.ip for one in seen]):
                return None
            if time.monotonic() > end:
                return f"it was not ready within {self.limits['ready_s']:g} s: {self.host.last(seen[0])}"
            time.sleep(LOOK_S)

    def seen(self, slot: str) -> list[Container]:
        """The containers of a slot that run, or are just being restarted."""
        seen = self.host.containers(self.proxy.project, slot)
        return [one for one in seen if one.running or one.status == "restarting"]

    def counts(self, made: Slot | None) -> Counts:
        """What a release's containers have counted; one that is just being restarted has counted nothing."""
        seen = self.seen(made["slot"]) if made else []
        ips = [one.ip for one in seen if one.running and one.ip]
        counted = Counts.parse(self.proxy.metrics(ips)) if ips else Counts()
        return replace(counted, restarts=sum(one.restarts for one in seen))

    def end(self, slot: str) -> None:
        """Stop a slot that gets no requests any more, once it has answered those that it has; its logs stay."""
        end = time.monotonic() + self.limits["drain_s"]
        while self.proxy.runs() and self.proxy.busy(slot) and time.monotonic() < end:
            time.sleep(LOOK_S)
        self.host.stop(self.proxy.project, slot, QUIET_S)

    def stop(self, slot: str) -> bool:
        """Stop a slot that callers still reach; whether anything of it ran."""
        return self.host.stop(self.proxy.project, slot, self.limits["drain_s"])
