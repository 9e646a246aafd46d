"""From a judged model to production and back on this machine: the real service, through the public words."""

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import ENVIRONMENTS, commit, copy, speak


class Place:
    """A project with a gated model, the ports of its deployments, and what the tests ask of it."""

    def __init__(self, project: Path) -> None:
        self.project = project
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            self.ports = {"staging": one.getsockname()[1], "production": other.getsockname()[1]}
        self.env = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}

    def word(self, name: str, *arguments: str, code: int = 0, **env: str) -> str:
        done = speak(self.project, name, *arguments, code=code, env=self.env | env)
        return done.stdout + done.stderr

    def stage(self, comment: str) -> None:
        """Bring a new package, the same model with another line in the service, through every gate on staging."""
        with (self.project / "service" / "limits.py").open("a") as file:
            file.write(f"# {comment}\n")
        commit(self.project, comment)
        for name in ("package", "deploy", "verify", "load"):
            self.word(name)

    def status(self) -> dict:
        return json.loads(speak(self.project, "status", "--json", code=0, env=self.env).stdout)

    def digest(self, environment: str = "production") -> str:
        return self.status()["environments"][environment]["release"]["digest"]

    def processes(self) -> list[str]:
        """The supervisors of this project, by their command, and the numbers of their workers."""
        commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        workers = [path.name for path in (self.project / ".deployments").glob("*/workers/*")]
        return [command for command in commands if str(self.project / ".deployments") in command] + workers

    def worker(self) -> int:
        return int(next((self.project / ".deployments" / "production" / "workers").iterdir()).name)


class Callers:
    """Callers of production on kept-open connections, some hundred requests a second, while the block runs."""

    def __init__(self, place: Place, count: int = 4) -> None:
        self.port, self.done = place.ports["production"], threading.Event()
        rows = json.loads((place.project / "build" / "rows.json").read_text())["rows"]
        self.body = json.dumps({"rows": rows[:1]})
        self.answers: Counter[int] = Counter()
        self.failed: list[str] = []
        self.threads = [threading.Thread(target=self.ask) for _ in range(count)]

    def ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.done.wait(0.01):
            try:
                connection.request("POST", "/predict", self.body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                self.answers[response.status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def gated(default_trained, tmp_path_factory):
    """The trained project with a report and a passed gate, and a short load test."""
    made = copy(default_trained, tmp_path_factory.mktemp("gated") / "work")
    gates = yaml.safe_load((made / "gates.yaml").read_text())
    gates["load"] |= {"rate": 100, "duration_s": 3, "warmup_s": 1, "minimum_requests": 200}
    gates["load"] |= {"p95_ms": 500, "p99_ms": 1000, "achieved": 0.5}
    gates["load"]["champion"] |= {"minimum_requests": 20, "allowance_ms": 200}
    gates["release"] |= {"watch_s": 0.5, "minimum_requests": 50, "allowance_ms": 1000}
    (made / "gates.yaml").write_text(yaml.safe_dump(gates))
    commit(made, "A short load test")
    for name in ("report", "gate"):
        speak(made, name, code=0)
    return made


@pytest.fixture(scope="module")
def place(gated, tmp_path_factory):
    """Two releases brought to production, one after the other, the second under load."""
    place = Place(copy(gated, tmp_path_factory.mktemp("place") / "work"))
    try:
        place.stage("first")
        place.word("promote")
        place.package = (place.project / "build" / "package.json").read_text()
        place.stage("second")
        place.first, place.second = place.digest(), place.digest("staging")
        with Callers(place) as place.callers:
            place.word("promote")
        yield place
    finally:
        place.word("stop")


def test_production_is_replaced_without_a_failed_request(place):
    assert place.callers.failed == []
    assert set(place.callers.answers) == {200}
    assert place.callers.answers[200] > 100
    assert place.first != place.second == place.digest()


def test_the_record_and_the_aliases(place):
    found = place.status()
    assert found["registry"]["champion"] == "1"
    assert found["environments"]["production"]["release"] == found["environments"]["staging"]["release"]
    assert (found["under_way"], found["unrecorded"]) == (None, 0)
    assert [found["gates"][word]["verdict"] for word in ("gate", "verify", "load")] == ["pass"] * 3


def test_a_worker_that_is_killed_comes_back(place):
    first = place.worker()
    os.kill(first, signal.SIGKILL)
    place.word("verify", "--on", "production")  # its connection waits for the next worker
    assert place.worker() != first


def test_rollback_under_load_and_forward_again(place):
    with Callers(place) as callers:
        place.word("rollback")
        assert place.digest() == place.first
        place.word("promote")
        assert place.digest() == place.second
    assert callers.failed == []
    assert set(callers.answers) == {200}


def test_a_pipeline_leaves_alone_what_another_has_deployed_meanwhile(place):
    """The first pipeline goes on after the second has deployed, verified and loaded: it judges and promotes nothing."""
    package = place.project / "build" / "package.json"
    own, judged = package.read_text(), (place.project / "reports" / "load.json").read_text()
    package.write_text(place.package)
    place.word("rollback")
    try:
        for name in ("verify", "load", "promote"):
            said = place.word(name, code=2)
            assert re.search(r"staging runs version 1 \(\w+\), and build/ holds version 1 \(\w+\) of commit \w+", said)
    finally:
        package.write_text(own)
        (place.project / "reports" / "load.json").write_text(judged)
    assert place.digest() == place.first
    place.word("promote")
    assert place.digest() == place.second


def test_deployments_at_once_take_turns(place):
    """Two wait for a third holder, and for each other."""
    command = [sys.executable, "-m", "ci.deploy"]
    python = (place.project / ".python-version").read_text().strip()
    env = os.environ | place.env | {"ENVIRONMENTS": str(ENVIRONMENTS / python)}
    with (place.project / ".deployments" / "staging" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        both = [subprocess.Popen(command, cwd=place.project, env=env, stderr=subprocess.PIPE, text=True) for _ in "ab"]
        for process in both:
            assert any("deploy: staging is being changed: " in line for line in process.stderr)
    for process in both:
        process.communicate()
    assert [process.returncode for process in both] == [0, 0]


def test_a_release_that_does_not_start_leaves_the_old_one(place):
    settings = place.project / "deploy" / "settings.yaml"
    before = settings.read_text()
    settings.write_text(before.replace("variables: {}", "variables: { SERVICE_ROWS: none }"))
    try:
        said = place.word("deploy", code=1)
    finally:
        settings.write_text(before)
    assert "did not become ready: it ended with exit code" in said
    assert "still runs" in said
    place.word("verify")


def test_one_wrong_answer_in_a_thousand_stops_a_release(place):
    kept = place.project / ".deployments" / "releases" / place.second.removeprefix("sha256:") / "rows.json"
    before = kept.read_text()
    rows = json.loads(before)
    assert len(rows["rows"]) == 1000
    rows["predictions"][777]["probability"] += 1e-3
    kept.write_text(json.dumps(rows))
    try:
        assert "skew: row 777 of 1000" in place.word("verify", code=1)
        assert "verify did not pass" in place.word("promote", code=2)
    finally:
        kept.write_text(before)
    place.word("verify")


def test_a_dead_supervisor_is_replaced(place):
    pid = int((place.project / ".deployments" / "production" / "supervisor.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert place.status()["environments"]["production"]["state"] == "runs"
    place.word("verify", "--on", "production")


def test_stop_leaves_nothing_and_deploy_brings_production_back(place):
    assert len(place.processes()) == 4
    place.word("stop")
    assert place.processes() == []
    for port in place.ports.values():
        socket.create_server(("127.0.0.1", port)).close()
    place.word("verify", "--on", "production", code=1)
    place.word("deploy", "--to", "production")
    place.word("verify", "--on", "production")
    place.word("deploy")


def test_a_taken_port_is_named(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = place.word("deploy", code=2, STAGING_PORT=str(port))
    assert f"port {port} is taken by" in said
    assert f"(process {os.getpid()} " in said
    place.word("deploy")


def test_a_checkout_without_anything_says_what_to_do(gated, tmp_path):
    project = copy(gated, tmp_path / "bare")
    bare = Place(project)
    assert "there is no package" in bare.word("deploy", code=2)
    assert "staging runs nothing" in bare.word("verify", code=2)
    assert "staging runs nothing" in bare.word("promote", code=2)
    assert "nothing was ever promoted" in bare.word("deploy", "--to", "production", code=2)
    assert "no previous release" in bare.word("rollback", code=2)
    assert "production  runs nothing" in bare.word("status")
    shutil.rmtree(tmp_path / "bare")


def test_a_promotion_killed_at_many_of_its_lines(project):
    """The project's own test kills few, to be quick; 1 for each of them takes minutes, and with an engine hours."""
    began = time.monotonic()
    arguments = ["tests/test_production.py", "-k", "killed and not compose and not kubernetes", "-q"]
    speak(project, "test", *arguments, code=0, env={"KILL_EVERY": os.environ.get("KILL_EVERY", "10")})
    print(f"{time.monotonic() - began:.0f} s")
