"""Docker and its compose plug-in on one host, wherever the caller's context or `DOCKER_HOST` says that it is."""

import functools
import json
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from deploy.containers.engine import Failed, command, explained
from << cookiecutter.__package >>.outcome import Unjudged

FILE = Path(__file__).resolve().with_name("compose.yaml")
OLDEST = (2, 26)  # of compose, that this was tried with
SILENT = ("cannot connect to the docker daemon", "error during connect", "failed to connect to the docker api")
SILENT += ("permission denied while trying to connect to the docker", "unable to resolve docker endpoint")
TAKEN = ("port is already allocated", "address already in use", "ports are not available")


@dataclass(frozen=True)
class Container:
    """A container as Docker has it now: `status` is running, restarting, exited …; `ip` is empty where it has none."""

    id: str
    name: str
    status: str
    code: int
    oom: bool
    restarts: int
    ip: str
    port: str  # host:port where the host publishes it

    @property
    def running(self) -> bool:
        return self.status == "running"

    @classmethod
    def of(cls, seen: dict[str, Any]) -> Self:
        networks = seen["NetworkSettings"]["Networks"]
        inside = next((network for name, network in networks.items() if name.endswith("_inside")), {})
        bound = [one for each in (seen["HostConfig"]["PortBindings"] or {}).values() for one in each]
        state, port = seen["State"], f"{bound[0]['HostIp']}:{bound[0]['HostPort']}" if bound else ""
        return cls(
            seen["Id"], seen["Name"].lstrip("/"), state["Status"], state["ExitCode"], state["OOMKilled"],
            seen["RestartCount"], inside.get("IPAddress", ""), port,
        )  # fmt: skip


class Host:
    """Every method raises Unjudged where the engine does not answer, and `run` Failed where it says no."""

    def run(
        self, *words: str, given: str = "", settings: Mapping[str, str] | None = None, timeout_s: float = 300
    ) -> str:
        """The output of `docker` with these words."""
        try:
            return command(["docker", *words], settings or {}, given, timeout_s)
        except FileNotFoundError as error:
            raise Unjudged("there is no docker on PATH", "Install Docker's client and its compose plug-in.") from error
        except Failed as error:
            said = error.said.lower()
            if any(mark in said for mark in SILENT):
                named = os.environ.get("DOCKER_HOST")
                where, why = f"at {named}" if named else "of Docker's context", str(error).rpartition("stderr=")[2]
                remedy = "Start it, or set DOCKER_HOST or DOCKER_CONTEXT (docs/compose.md)."
                raise Unjudged(f"the engine {where} does not answer: {why}", remedy) from error
            raise

    def do(self, what: str, *words: str, given: str = "", timeout_s: float = 300) -> str:
        """As `run`, but raises Unjudged also where the engine says no, with `what` was to be done."""
        try:
            return self.run(*words, given=given, timeout_s=timeout_s)
        except Failed as error:
            raise explained(f"{what} failed", error) from error

    def compose(self, project: str, variables: Mapping[str, object], *words: str, more: Any = None) -> str:
        """Run `docker compose` on this folder's file, with `more` put over it."""
        self.tried()
        over = ["--file", "-"] * (more is not None)
        given = json.dumps(more).replace("$", "$$") if over else ""
        settings = {name: str(value) for name, value in variables.items()}
        return self.run(
            "compose", "--project-name", project, "--file", str(FILE), *over, *words, given=given, settings=settings
        )

    def make(self, project: str, variables: Mapping[str, object], service: str) -> None:
        """Make a service's container and what it needs, not started; raises Failed, also where another is at it too."""
        try:
            self.compose(project, variables, "up", "--no-start", "--no-deps", service)
        finally:
            self._one_network_of_each_name(project)

    def _one_network_of_each_name(self, project: str) -> None:
        """Remove the second of two that callers have made at once: no container starts on an ambiguous name.

        Docker 25 and later refuse the second themselves.
        """
        words = ("network", "ls", "--no-trunc", "--filter", f"label=com.docker.compose.project={project}")
        listed = self.do(f"looking for {project}'s networks", *words, "--format", "{{.Name}} {{.ID}}").splitlines()
        named: dict[str, list[str]] = {}
        for name, number in map(str.split, listed):
            named.setdefault(name, []).append(number)
        for same in (numbers for numbers in named.values() if len(numbers) > 1):
            with suppress(Failed):  # one was removed meanwhile, by another who is at it too
                seen = json.loads(self.run("network", "inspect", *same))
                seen.sort(key=lambda one: (not one["Containers"], one["Created"], one["Id"]))
                for one in seen[1:]:
                    self.run("network", "rm", one["Id"])

    @functools.cache  # noqa: B019
    def tried(self) -> None:
        """Raises Unjudged where compose is absent or too old."""
        wanted = ".".join(map(str, OLDEST))
        try:
            said = self.run("compose", "version", "--short")
        except Failed as error:
            raise Unjudged("Docker has no compose here", f"Install its plug-in, {wanted} or later.") from error
        found = tuple(map(int, re.findall(r"\d+", said)[:2]))
        if found < OLDEST:
            raise Unjudged(f"Docker's compose is {said.strip()} here", f"Install its plug-in, {wanted} or later.")

    def containers(self, project: str, service: str) -> list[Container]:
        """Those of a service, running or not, in the order of their names."""
        named = [f"label=com.docker.compose.project={project}", f"label=com.docker.compose.service={service}"]
        what = f"looking for {project}'s containers"
        ids = self.do(what, "ps", "--all", "--quiet", "--filter", named[0], "--filter", named[1]).split()
        if not ids:
            return []
        try:
            seen = json.loads(self.run("inspect", *ids))
        except Failed:  # one was removed meanwhile
            return self.containers(project, service)
        return sorted(map(Container.of, seen), key=lambda one: one.name)

    def stop(self, project: str, service: str, limit_s: float) -> bool:
        """Stop its containers, and keep them for their logs; whether any ran."""
        ids = [one.id for one in self.containers(project, service) if one.status not in ("exited", "created", "dead")]
        if ids:
            words = ("stop", "-t", f"{limit_s:g}", *ids)
            self.do(f"stopping {project}'s {service}", *words, timeout_s=limit_s + 120)
        return bool(ids)

    def remove(self, project: str, service: str) -> None:
        ids = [one.id for one in self.containers(project, service)]
        if ids:
            self.do(f"removing {project}'s {service}", "rm", "--force", *ids)

    def last(self, container: Container) -> str:
        """The last line that a container has logged."""
        words = ["docker", "logs", "--tail", "20", container.id]
        both = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
        lines = [line.strip()[:300] for line in both.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it logged nothing"

    def image(self, name: str) -> dict[str, Any] | None:
        """What the host knows of an image; None where it is not there."""
        try:
            return json.loads(self.run("image", "inspect", name))[0]
        except Failed:
            return None

    @functools.cache  # noqa: B019
    def name(self) -> str:
        """The host as callers reach it: that of the endpoint of Docker's context."""
        words = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        return urlsplit(self.do("asking for Docker's context", *words)).hostname or "127.0.0.1"
