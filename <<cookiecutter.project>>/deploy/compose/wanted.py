"""What deploy/settings.yaml's `compose`, gates.yaml and the caller's variables ask for."""

import os
from typing import Any

from deploy.compose.proxy import MOST
from deploy.containers import names
from deploy.target import port_of, release_limits, settings
from << cookiecutter.__package >>.outcome import Unjudged

LOOPBACK = ("127.0.0.1", "localhost", "::1")
Variables = dict[str, object]  # of compose.yaml


class Wanted:
    """Settings in the words of compose.yaml; `limits` are gates.yaml's `release`."""

    def __init__(self) -> None:
        everywhere = settings()
        self.own: dict[str, Any] = everywhere["compose"]
        self.further: dict[str, Any] = everywhere["variables"]
        self.limits: dict[str, Any] = release_limits()
        self.name: str = os.environ.get("DEPLOY_HOST") or self.own["host"]  # of the host, for callers; may be empty

    def project(self, environment: str = "") -> str:
        """The compose project of an environment; without one, what those of all begin with."""
        begins = os.environ.get("COMPOSE_PROJECT_NAME") or names.PROJECT
        return f"{begins}-{environment}" if environment else begins

    def port(self, environment: str) -> int:
        return port_of(environment, self.own["ports"])

    def containers(self, environment: str) -> int:
        """How many a release gets; raises Unjudged where the proxy cannot know so many."""
        number = int(self.own["replicas"][environment])
        if not 1 <= number <= MOST:
            remedy = f"Set it to 1 to {MOST} in deploy/settings.yaml."
            raise Unjudged(f"`compose.replicas` asks for {number} containers in {environment}", remedy)
        return number

    def proxy(self, environment: str) -> Variables:
        image = os.environ.get("PROXY_IMAGE") or self.own["proxy"]
        return self._both() | {"BIND": self.own["bind"], "PORT": self.port(environment), "PROXY_IMAGE": image}

    def service(self, environment: str) -> Variables:
        bounds = {"MEMORY_MB": self.own["memory_mb"], "PROCESSES": self.own["processes"]}
        return self._both() | bounds | {"ENVIRONMENT": environment}

    def _both(self) -> Variables:
        logs = {"LOG_BYTES": self.own["logs"]["bytes"], "LOG_FILES": self.own["logs"]["files"]}
        return {"DRAIN_S": f"{self.limits['drain_s']:g}", **logs}

    def reachable(self, name: str) -> None:
        """Raises Unjudged where the proxy on the host of this name would listen where none of its callers is."""
        if self.own["bind"] in LOOPBACK and name not in LOOPBACK:
            what = f"on {name} the proxy would listen on {self.own['bind']}, where no caller reaches it"
            raise Unjudged(what, "Set `compose.bind` in deploy/settings.yaml to an address of that host.")
