"""The target `process`: background processes on this machine, each environment on its own port.

Everything lies in `.deployments/<environment>/`; `supervisor.py` keeps the processes, and a lock in the kernel rather
than a number in a file says whether it lives.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from ci.environment import QUIET
from deploy import releases
from deploy.client import Client
from deploy.counts import Counts
from deploy.process.packages import python
from deploy.process.worker import end_orphans, held
from deploy.store import Files, now, read, state, who, write
from deploy.target import ROOT, Release, Running, port_of, release_limits, settings
from << cookiecutter.__package >>.outcome import Bad, Unjudged

PASSED_ON = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")  # no credential of the caller reaches a service


class Process:
    """See `deploy.target.Target` for what each method promises."""

    def __init__(self) -> None:
        self.store = Files()
        everywhere = settings()
        self.settings, self.variables = everywhere["process"], everywhere["variables"]
        self.limits = release_limits()

    def port(self, environment: str) -> int:
        return port_of(environment, self.settings["ports"])

    def address(self, environment: str) -> str:
        """Where it answers, or would: a port that was set anew counts from the next deployment on."""
        here = state(environment)
        spec = None if _dead(here) else read(here / "release.json")
        return spec["address"] if spec else self.wanted_address(environment)

    def wanted_address(self, environment: str) -> str:
        return f"http://{self.settings['host']}:{self.port(environment)}"

    def logs(self, environment: str) -> str:
        return str(state(environment, "logs", "service.log"))

    def add(self, package: Path) -> Release:
        release = releases.keep(package)
        python(releases.folder(release) / "bento")
        return release

    def kept(self, release: Release) -> bool:
        return releases.folder(release).exists()

    def forget_others(self, wanted: Collection[Release]) -> None:
        releases.forget_others(wanted)

    def begin(self, environment: str, release: Release) -> None:
        here, spec = state(environment), self._spec(environment, release)
        if self.address(environment) != spec["address"]:
            self.stop(environment)
        failed = self._order(environment, "begin", release=spec)
        if failed:
            stays = read(here / "release.json")
            if not stays:
                self.stop(environment, forget=True)
            left = f"{Release.of(stays['release'])} still runs" if stays else "nothing runs"
            what = f"{environment}: {release} did not become ready: {failed}; {left}"
            raise Bad(what, f"See {self.logs(environment)}, then deploy a package that starts.")

    def share(self, environment: str, percent: float) -> float:
        self._done(environment, "share", percent=percent)
        return self._state(environment)["share"]

    def counts(self, environment: str) -> tuple[Counts, Counts]:
        known = self._state(environment)
        return _counted(known.get("candidate")), _counted(known.get("present"))

    def finish(self, environment: str) -> None:
        self._done(environment, "finish")

    def settle(self, environment: str) -> None:
        if not _dead(state(environment)):
            self._done(environment, "settle")

    def _done(self, environment: str, do: str, **more: object) -> None:
        failed = self._order(environment, do, **more)
        if failed:
            raise Unjudged(f"{environment}: {failed}", self._see(state(environment)))

    def _order(self, environment: str, do: str, **more: object) -> str | None:
        """Have the environment's supervisor do something; returns why it could not.

        It ends first what a caller has asked for who did not live to see it.
        """
        here, order = state(environment), {"id": uuid.uuid4().hex, "do": do, **more}
        write(here / "next.json", order)
        self._keeper(environment)
        limit_s = 2 * (self.limits["ready_s"] + self.limits["drain_s"])
        if not _until(lambda: self._state(environment).get("id") == order["id"] or _dead(here), limit_s) or _dead(here):
            (here / "next.json").unlink(missing_ok=True)
            raise Unjudged(f"{environment}: the supervisor did not do what it was asked", self._see(here))
        return self._state(environment)["failed"]

    def _state(self, environment: str) -> dict[str, Any]:
        return read(state(environment, "state.json")) or {}

    def running(self, environment: str) -> Running | None:
        here = state(environment)
        spec = read(here / "release.json")
        if not spec:
            return None
        if (here / "supervisor.pid").exists() and not held(here / "supervisor.pid"):
            self._recover(environment)
        alive, known = not _dead(here), self._state(environment)
        candidate = known.get("candidate") if alive else None
        return Running(
            release=Release.of(spec["release"]), since=spec["since"], by=spec["by"], alive=alive,
            ready=alive and Client(self.address(environment)).ready(),
            restarts=(known.get("present") or {}).get("restarts", 0),
            candidate=candidate and Release.of(candidate["release"]), share=known.get("share", 0),
        )  # fmt: skip

    def _recover(self, environment: str) -> None:
        print(f"{environment}: its supervisor was killed or the machine restarted: started again", file=sys.stderr)
        try:
            self._keeper(environment)
        except Unjudged as error:
            print(error.what, file=sys.stderr)
        else:
            client = Client(self.address(environment))
            _until(lambda: client.ready() or _dead(state(environment)), self.limits["ready_s"])

    def stop(self, environment: str, forget: bool = False) -> bool:
        here = state(environment)
        was = not _dead(here)
        if was:
            keeper = psutil.Process(int((here / "supervisor.pid").read_text()))
            keeper.terminate()
            try:
                keeper.wait(self.limits["drain_s"] + 10)
            except psutil.TimeoutExpired:
                keeper.kill()
                keeper.wait()
        asyncio.run(end_orphans(here / "workers"))
        for name in ("supervisor.pid", "state.json", "next.json", "trying.json", *["release.json"] * forget):
            (here / name).unlink(missing_ok=True)
        return was

    def _spec(self, environment: str, release: Release) -> dict:
        """What the supervisor needs to run the release; it becomes the environment's release.json."""
        bento = releases.folder(release) / "bento"
        interpreter = python(bento)
        variables = _passed_on() | QUIET | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(bento / "src")}
        variables |= {"PATH": f"{interpreter.parent}:{os.defpath}", "PYTHONUNBUFFERED": "1"}
        variables |= {"MODEL_VERSION": release.version, "DEPLOYMENT": environment}
        return {
            "release": release.dict(), "since": now(), "by": who(), "address": self.wanted_address(environment),
            "command": [str(interpreter), "-m", "service"], "directory": str(bento / "src"),
            "variables": variables | {name: str(value) for name, value in self.variables.items()},
            "workers": self.settings["workers"], "ready_s": self.limits["ready_s"], "drain_s": self.limits["drain_s"],
        }  # fmt: skip

    def _keeper(self, environment: str) -> None:
        """Tell the environment's supervisor to look, or start one."""
        here = state(environment)
        if not _dead(here):
            os.kill(int((here / "supervisor.pid").read_text()), signal.SIGHUP)
            return
        logs = here / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        own = self.settings["logs"]
        command = [here, self.settings["host"], self.port(environment), own["bytes"], own["files"]]
        with (logs / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "deploy.process.supervisor", *map(str, command)],
                cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=_passed_on() | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        _until(lambda: not _dead(here) or process.poll() is not None, self.limits["ready_s"])
        if _dead(here):
            (here / "next.json").unlink(missing_ok=True)
            self._explain(environment)

    def _explain(self, environment: str) -> None:
        port = self.port(environment)
        holder = _holder(port)
        if holder:
            remedy = f"End it, or set {environment.upper()}_PORT to a free port."
            raise Unjudged(f"{environment}: port {port} is taken by {holder}", remedy)
        raise Unjudged(f"{environment}: the supervisor did not start", self._see(state(environment)))

    def _see(self, here: Path) -> str:
        return f"See {here / 'logs' / 'supervisor.log'}."


def _dead(here: Path) -> bool:
    """Whether no supervisor is at work: it locks its file first, and writes its number once it has the port."""
    pid = here / "supervisor.pid"
    try:
        return not (held(pid) and pid.read_text())
    except FileNotFoundError:
        return True


def _counted(side: dict[str, Any] | None) -> Counts:
    """What the processes of a release have counted; one that is just being restarted has counted nothing."""
    if side is None:
        return Counts()
    parts = []
    for host, port in side["addresses"]:
        with Client(f"http://{host}:{port}") as client, contextlib.suppress(Bad):
            parts.append(Counts.parse(client.ask("GET", "/metrics")[1].decode()))
    return replace(Counts.sum(parts), restarts=side["restarts"])


def _passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return met


def _holder(port: int) -> str | None:
    """The process that listens on the port, in words; None where nobody does."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if not connection.pid:
                return "a process of another user"
            process = psutil.Process(connection.pid)
            return f"{process.name()} (process {process.pid} of {process.username()}, in {process.cwd()})"
    return None
