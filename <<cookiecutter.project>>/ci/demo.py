"""The whole life of this project on this machine, told as it happens and checked as it goes.

Everything happens in `demo/`, a clone with its own DVC remote, MLflow store and deployments; the repository itself is
not touched. Every step has an exit code that the story asks for, and a release that production must serve afterwards:
the demonstration fails at the first that goes otherwise. The output of every word lies in `demo/log/`.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import yaml

from ci.environment import INSIDE, ROOT, prepare
from ci.machine.leftovers import end
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

HOME = ROOT / "demo"
CLONE = HOME / ROOT.name
LOG = HOME / "log"
MODEST = {"n_estimators": 60, "max_depth": 4}
BRIEF = ("--duration", "10")  # seconds of load; `make load` takes what gates.yaml says
POOR = {"n_estimators": 2, "max_depth": 1}


class Story:
    """Runs words in the clone, narrates them, and keeps what happened for the closing table."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.acts: list[tuple[str, str, float]] = []
        self.steps = 0
        # A place of its own for everything that an outer setting could otherwise reach.
        own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_") and name != INSIDE}
        self.environment = own | {"ENVIRONMENTS": os.environ.get("ENVIRONMENTS", str(ROOT / ".venvs"))}

    def act(self, title: str) -> None:
        print(f"\n{len(self.acts) + 1}. {title}", flush=True)
        self.title, self.started = title, time.monotonic()

    def end(self, outcome: str) -> None:
        self.acts.append((self.title, outcome, time.monotonic() - self.started))
        print(f"   = {outcome}", flush=True)

    def word(self, name: str, *arguments: str, expect: int = 0) -> str:
        """Run `python -m ci.<name>`, print one line about it and return what it printed."""
        self.steps += 1
        log = LOG / f"{self.steps:02}-{name}.log"
        began = time.monotonic()
        with log.open("w") as output:
            command = [sys.executable, "-m", f"ci.{name}", *arguments]
            process = subprocess.Popen(command, cwd=CLONE, env=self.environment, stdout=output, stderr=output)
            while True:
                try:
                    code = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    if sys.stdout.isatty():
                        said = _tail(log.read_text(errors="replace"))
                        print(f"\r   . {name:<8} {time.monotonic() - began:5.1f} s  {said:<90.90}", end="", flush=True)
        said = log.read_text(errors="replace")
        mark = "+" if code == expect == 0 else "!" if code == expect else "X"
        told = _headline(said, name)
        start = "\r" if sys.stdout.isatty() else ""
        print(f"{start}   {mark} {name:<8} {time.monotonic() - began:5.1f} s  {told:<90.110}", flush=True)
        if code != expect:
            sys.stderr.write(said[-4000:])
            raise Bad(f"{name} ended with {code}, the story asks for {expect}", f"Read {log}.")
        return said

    def git(self, *arguments: str) -> None:
        command = ["git", "-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "core.hooksPath=/dev/null"]
        done = subprocess.run([*command, *arguments], cwd=CLONE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unjudged(f"git {arguments[0]} failed: {done.stderr.strip()}", f"Look into {CLONE}.")

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def serves(self, version: str) -> None:
        """Ask production itself which version answers."""
        answering = _answer(self.environment["PRODUCTION_PORT"])["model_version"]
        if answering != version:
            raise Bad(f"production answers with version {answering}, the story asks for {version}", "Read demo/log/.")


def main(arguments: list[str]) -> None:
    """Tell the story; `stop` ends what an earlier one left running."""
    _stop()
    if arguments == ["stop"]:
        return
    shutil.rmtree(HOME, ignore_errors=True)
    LOG.mkdir(parents=True)
    story = Story()
    _clone(story)
    for tell in (first, better, worse, slow, bad_data, rolled_back):
        tell(story)
    _close(story)


def first(story: Story) -> None:
    story.act("A first, modest model goes from data to production")
    _params(MODEST)
    for name in ("setup", "data", "check", "train"):
        story.word(name)
    story.commit("A first model")
    _release(story)
    story.serves("1")
    story.end("version 1 serves in production")


def better(story: Story) -> None:
    story.act("A better model is compared, passes the gate and replaces it")
    story.git("switch", "--quiet", "--create", "better")
    story.git("checkout", "--quiet", "start", "--", "params.yaml")
    story.word("train")
    story.commit("Deeper trees, more rounds")
    _release(story)
    story.git("switch", "--quiet", "main")
    story.git("merge", "--quiet", "--ff-only", "better")
    shutil.copyfile(CLONE / "reports" / "report.html", HOME / "report.html")
    story.serves("2")
    story.end("version 2 serves in production, version 1 waits behind it")


def worse(story: Story) -> None:
    story.act("A worse model is stopped by the gate")
    story.git("switch", "--quiet", "--create", "worse")
    _params(POOR)
    story.word("train")
    story.commit("Two stumps")
    story.word("report", "--base", "main")
    story.word("gate", expect=1)
    story.git("switch", "--quiet", "main")
    story.word("train")  # what main names is in the cache: nothing is trained
    story.serves("2")
    story.end("not merged; version 2 serves on")


def bad_data(story: Story) -> None:
    story.act("Bad data is stopped by the check")
    flights = CLONE / "data" / "raw" / "flights.csv"
    lines = flights.read_text().splitlines(keepends=True)
    column = lines[0].strip().split(",").index("distance")
    spoiled = [line.split(",") for line in lines[1:3001]]
    for row in spoiled:
        row[column] = "-1"
    flights.unlink()  # it may be a link into DVC's cache
    flights.write_text("".join([lines[0], *(",".join(row) for row in spoiled), *lines[3001:]]))
    story.word("check", expect=1)
    story.git("checkout", "--quiet", "--", ".")
    story.word("data")
    story.word("train")
    story.serves("2")
    story.end("nothing was trained on it; version 2 serves on")


def slow(story: Story) -> None:
    story.act("A slow build of the same model is stopped by the load test")
    story.git("switch", "--quiet", "--create", "slow")
    _slow_down(CLONE / "service" / "model.py")
    story.commit("A careless change of the service")
    for name in ("report", "gate", "package", "deploy", "verify"):
        story.word(name)
    story.word("load", *BRIEF, expect=1)
    story.word("promote", expect=2)
    story.git("switch", "--quiet", "main")
    story.serves("2")
    story.end("not promoted; version 2 serves on")


def rolled_back(story: Story) -> None:
    story.act("Production is rolled back")
    story.word("rollback")
    story.serves("1")
    story.word("status")
    story.end("version 1 serves in production again")


def _release(story: Story) -> None:
    for name in ("report", "gate", "package", "deploy", "verify"):
        story.word(name)
    story.word("load", *BRIEF)
    story.word("promote")


def _clone(story: Story) -> None:
    print(f"The life of {ROOT.name}, in {HOME}", flush=True)
    story.environment["PRODUCTION_PORT"] = _free_port(3000)
    story.environment["STAGING_PORT"] = _free_port(3001)
    done = subprocess.run(["git", "clone", "--quiet", str(ROOT), str(CLONE)], check=False)
    if done.returncode:
        raise Unjudged("the repository could not be cloned", "Run this inside the git repository of the project.")
    story.git("switch", "--quiet", "--force-create", "main")
    story.git("remote", "remove", "origin")
    story.git("tag", "start")
    (CLONE / ".dvc" / "config.local").write_text(f"['remote \"origin\"']\n    url = {HOME / 'remote'}\n")


def _slow_down(path: Path) -> None:
    """The careless change: the model sleeps for each row that it scores."""
    anchor = "        found = self.session.run("
    code = path.read_text()
    if anchor not in code:
        raise Unjudged(f"{path.name} no longer has the line that the story slows down", "Adapt ci/demo.py.")
    path.write_text(code.replace(anchor, f'        __import__("time").sleep(0.005 * len(rows))\n{anchor}'))


def _params(changes: dict) -> None:
    path = CLONE / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["train"]["xgboost"] |= changes
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def _close(story: Story) -> None:
    ui = _mlflow(story)
    width = max(len(title) for title, _, _ in story.acts)
    print("\nWhat happened")
    for number, (title, outcome, seconds) in enumerate(story.acts, 1):
        print(f"  {number}. {title:<{width}}  {seconds:4.0f} s  {outcome}")
    print(f"\nAll of it as told, in {time.monotonic() - story.began:.0f} s. It stays up to be looked at:")
    production = f"http://127.0.0.1:{story.environment['PRODUCTION_PORT']}"
    for what, where in (("service", production), ("report", (HOME / "report.html").as_uri()), ("MLflow", ui)):
        print(f"  {what:<8} {where}")
    print("  stop     make demo ARGS=stop")


def _mlflow(story: Story) -> str:
    """Start MLflow's page on what the story recorded and return its address once it answers."""
    environment, port = prepare(["ui"]), _free_port(5000)
    command = [environment / "bin" / "python", "-m", "mlflow", "server", "--workers", "1", "--port", port]
    store = ["--backend-store-uri", f"sqlite:///{CLONE / 'mlflow.db'}", "--no-serve-artifacts"]
    with (LOG / "mlflow.log").open("w") as output:
        process = subprocess.Popen([*command, *store], start_new_session=True, stdout=output, stderr=output)
    (HOME / "mlflow.pid").write_text(str(process.pid))
    address = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()  # noqa: S310
            return address
        except OSError:
            time.sleep(0.2)
    raise Unjudged("MLflow's page did not come up", f"Read {LOG / 'mlflow.log'}.")


def _stop() -> None:
    """End what an earlier story left running: its deployments and MLflow's page."""
    if CLONE.exists():
        command = [sys.executable, "-m", "ci.stop"]
        own = {name: value for name, value in os.environ.items() if name != INSIDE}
        subprocess.run(command, cwd=CLONE, check=False, env=own)
    pid = HOME / "mlflow.pid"
    if pid.exists():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid.read_text()))
            if "mlflow" in process.cmdline():
                end([*process.children(recursive=True), process])
        pid.unlink()


def _free_port(preferred: int) -> str:
    """`preferred` where nothing listens there, else a port that the system gives."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return str(probe.getsockname()[1])
            except OSError:
                continue
    raise Unjudged("no port of this machine is free", "Stop a few services.")


def _answer(port: str) -> dict:
    row = json.dumps({"rows": [SCHEMA.example()]}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/predict", row, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except OSError as error:
        raise Bad(f"production does not answer: {error}", f"Read {LOG}.") from error


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _headline(text: str, name: str) -> str:
    """The last line in which the word speaks of itself: its outcome."""
    said = [line.strip() for line in text.splitlines() if line.startswith(f"{name}: ")]
    return next((line for line in reversed(said) if " next: " not in line), _tail(text))
