"""What the cluster remembers of an environment: a ConfigMap in its namespace, and a Lease for who is changing it.

A Lease that is not renewed for `SECONDS` is anybody's: a caller who was killed, or cut off, lets go.
"""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from deploy.kubernetes.answers import Conflict
from deploy.kubernetes.cluster import Cluster
from deploy.store import holding, patiently
from << cookiecutter.__package >>.outcome import Unjudged

NAME = "deployments"  # of the ConfigMap and of the Lease
SECONDS = 30


class Objects:
    """A store in the cluster; `namespace` tells where an environment lies."""

    def __init__(self, cluster: Cluster, namespace: Callable[[str], str]) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.lost: set[str] = set()  # environments that were held here, until the hold ran out

    def read(self, environment: str, name: str) -> Any:
        found = self.cluster.get(self._path("/api/v1", environment, "configmaps", NAME)) or {}
        content = found.get("data", {}).get(name)
        return content and json.loads(content)

    def write(self, environment: str, name: str, value: Any) -> None:
        self.still(environment)
        path = self._path("/api/v1", environment, "configmaps")
        while True:
            found = self.cluster.get(f"{path}/{NAME}")
            kept = found or {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}}
            data = {key: text for key, text in kept.get("data", {}).items() if key != name}
            if value is not None:
                data[name] = json.dumps(value, separators=(",", ":"), sort_keys=True)
            kept["data"] = data
            with contextlib.suppress(Conflict):  # it is of another version by now: read it again
                self.cluster.ask("PUT" if found else "POST", f"{path}/{NAME}" if found else path, kept)
                return

    @contextmanager
    def hold(self, environment: str, word: str, wait_s: float) -> Iterator[None]:
        mine = f"{holding(word)} [{uuid.uuid4().hex[:8]}]"
        seen = ("", 0.0)  # the Lease's version, and since when it is so: by one clock, whatever the others' say

        def take() -> str | None:
            nonlocal seen
            lease = self._lease(environment)
            if lease:
                version, holder = lease["metadata"]["resourceVersion"], lease["spec"].get("holderIdentity")
                if version != seen[0]:
                    seen = (version, time.monotonic())
                if holder and time.monotonic() < seen[1] + SECONDS:
                    return holder.rpartition(" [")[0]
            return None if self._set(environment, lease, mine) else "another caller"

        patiently(environment, word, wait_s, take)
        self.lost.discard(environment)
        over = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(environment, mine, over), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            over.set()
            renewal.join()
            with contextlib.suppress(Unjudged):  # where the cluster does not answer it runs out by itself
                lease = self._lease(environment)
                if lease and lease["spec"].get("holderIdentity") == mine:
                    self._set(environment, lease, None)

    def still(self, environment: str) -> None:
        """Raises Unjudged where a hold has run out, so that another caller may be at work by now."""
        if environment in self.lost:
            what = f"{environment} was held until the cluster was not heard of for {SECONDS} s"
            raise Unjudged(what, "Call again: it begins with what was left.")

    def _renew(self, environment: str, mine: str, over: threading.Event) -> None:
        heard = time.monotonic()
        while not over.wait(SECONDS / 6):
            with contextlib.suppress(Unjudged):
                lease = self._lease(environment)
                if not (lease and lease["spec"].get("holderIdentity") == mine):
                    break
                if self._set(environment, lease, mine):
                    heard = time.monotonic()
            if time.monotonic() > heard + SECONDS:
                break
        if not over.is_set():
            self.lost.add(environment)

    def _lease(self, environment: str) -> dict[str, Any] | None:
        return self.cluster.get(self._path("/apis/coordination.k8s.io/v1", environment, "leases", NAME))

    def _set(self, environment: str, lease: dict[str, Any] | None, holder: str | None) -> bool:
        """Write the holder into the Lease as it was read, or a new one; whether nobody was faster."""
        path = self._path("/apis/coordination.k8s.io/v1", environment, "leases")
        new = lease or {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}
        renewed = datetime.now(UTC).isoformat(timespec="microseconds")
        spec = {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "renewTime": renewed}
        try:
            self.cluster.ask("PUT" if lease else "POST", f"{path}/{NAME}" if lease else path, new | {"spec": spec})
        except Conflict:
            return False
        return True

    def _path(self, group: str, environment: str, *parts: str) -> str:
        return "/".join([group, "namespaces", self.namespace(environment), *parts])
