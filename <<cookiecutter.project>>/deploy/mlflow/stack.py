"""The containers of compose.yaml, on the engine of a Docker context, and the image that they run."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.environment import uv
from deploy.containers.engine import Engine, Failed, explained
from deploy.containers.index import index
from deploy.mlflow import secrets
from deploy.target import ROOT, settings
from << cookiecutter.__package >>.outcome import Bad, Outcome, Unjudged

HERE = Path(__file__).resolve().parent
PROJECT = "<< cookiecutter.project >>"
SERVICES = ("postgres", "seaweedfs", "mlflow")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # of a terminal
TELLING = re.compile("error|fatal|panic|refus|no space|migrate:", re.IGNORECASE)
RESTARTS = 3  # of a server that does not get as far as to answer
READY_S = 600  # the first start of a slow host


@dataclass(frozen=True)
class Stack:
    """`name` is compose's project; `variables` are what compose.yaml asks for."""

    name: str
    engine: Engine
    variables: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = (HERE / "compose.yaml",)

    def compose(self, *words: str, given: str = "", timeout_s: float = 1800, loud: bool = False) -> str:
        """Raises Failed."""
        files = [word for file in self.files for word in ("--file", str(file))]
        every = ["compose", "--project-name", self.name, *files, "--profile", "words", *words]
        return self.engine.run(*every, given=given, timeout_s=timeout_s, loud=loud)

    def word(self, service: str, *words: str, given: str = "", timeout_s: float = 86400) -> str:
        """Run one of the services that are there for a word, to its end. Raises Failed."""
        return self.compose("run", "--rm", "--no-deps", "--no-TTY", service, *words, given=given, timeout_s=timeout_s)

    def asked(self, service: str, *words: str, given: str = "") -> dict[str, Any]:
        """The answer of inside/objects.py; its failures are raised as what they are."""
        try:
            return json.loads(self.word(service, *words, given=given).splitlines()[-1])
        except Failed as error:
            for line in reversed(error.said.splitlines()):
                if line.startswith('{"what"'):
                    told = json.loads(line)
                    raise (Bad if told["remedy"].startswith("Nothing was touched") else Unjudged)(**told) from error
            raise explained(f"{service} failed", error) from error

    def states(self) -> dict[str, tuple[str, str]]:
        """Service -> state and health, of those that have a container."""
        said = self.compose("ps", "--all", "--format", "json").strip()
        rows = json.loads(said) if said.startswith("[") else [json.loads(line) for line in said.splitlines()]
        return {row["Service"]: (row["State"], row.get("Health", "")) for row in rows}

    def last_words(self, service: str) -> str:
        """What the service logged last, for a message."""
        lines = self.compose("logs", "--no-color", "--no-log-prefix", "--tail", "40", service)
        lines = CONTROL.sub("", lines).strip().splitlines()
        telling = [line for line in lines if TELLING.search(line)]
        return (telling or lines or ["it logged nothing"])[-1].strip()


def address() -> str:
    """Where people and pipelines reach the server: by the first of its names, or on this host."""
    wanted = settings()["mlflow"]
    if wanted["hosts"]:
        return f"https://{wanted['hosts'][0]}"
    return f"http://127.0.0.1:{os.environ.get('STACK_PORT') or wanted['port']}"


def stack() -> Stack:
    """The stack that deploy/settings.yaml describes; raises Unjudged where no engine with compose answers."""
    wanted = settings()["mlflow"]
    context = {"DOCKER_CONTEXT": wanted["context"]} if wanted["context"] else {}
    engine = Engine("docker", {**context, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})
    for words, what in (("info", "no Docker engine answers"), ("compose version", "Docker has no compose here")):
        try:
            engine.run(*words.split(), timeout_s=60)
        except (Failed, FileNotFoundError) as error:
            remedy = "Start it, or name another: DOCKER_CONTEXT, DOCKER_HOST, or `context` in deploy/settings.yaml."
            raise Unjudged(f"{what}: {error}", remedy) from error
    get, s3 = os.environ.get, os.environ.get("STACK_S3_PORT") or wanted["s3_port"]
    name = get("STACK_NAME") or f"{PROJECT}-mlflow"
    port = get("STACK_PORT") or str(wanted["port"])
    variables = {
        "STACK_ADDRESS": wanted["address"],
        "STACK_PORT": port,
        "STACK_S3_PORT": str(s3 or ""),
        "STACK_HOSTS": ",".join(["localhost:*", "127.0.0.1:*", *wanted["hosts"]]),
        "STACK_ORIGINS": ",".join(f"{scheme}://{host}" for host in wanted["hosts"] for scheme in ("https", "http")),
        "STACK_PERMISSION": wanted["permission"],
        "STACK_WORKERS": str(wanted["workers"]),
        "STACK_POSTGRES": get("STACK_POSTGRES") or wanted["images"]["postgres"],
        "STACK_SEAWEEDFS": get("STACK_SEAWEEDFS") or wanted["images"]["seaweedfs"],
        "STACK_IMAGE": get("STACK_IMAGE") or image(),
        "STACK_BACKUPS": get("STACK_BACKUPS") or f"{name}-backups",
        "STACK_BACKUPS_TO": wanted["backups"]["to"] or "",
        "STACK_BACKUPS_ENDPOINT": wanted["backups"]["endpoint"] or "",
        "STACK_BACKUPS_KEEP": str(wanted["backups"]["keep"]),
        "STACK_SECRETS": secrets.files()[1] if secrets.there() else "",
    } | {f"STACK_{service.upper()}_MEMORY": str(wanted["memory"][service]) for service in SERVICES}
    files = (HERE / "compose.yaml", HERE / "s3.yaml") if s3 else (HERE / "compose.yaml",)
    return Stack(name, Engine("docker", {**engine.settings, **variables}), variables, files)


def requirements() -> str:
    """The locked packages of the group `mlflow`, with their hashes."""
    command = [uv(), "export", "--quiet", "--locked", "--only-group", "mlflow", "--no-emit-project"]
    command += ["--no-header", "--no-annotate", "--format", "requirements-txt"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def image() -> str:
    """The name of the server's image: its recipe, files and packages, hashed."""
    of = hashlib.sha256((os.environ.get("IMAGE_BASE", "") + requirements()).encode())
    for path in (HERE / "Dockerfile", *sorted((HERE / "inside").rglob("*"))):
        if path.is_file() and path.suffix != ".pyc":
            of.update(path.read_bytes())
    return f"{PROJECT}-mlflow:{of.hexdigest()[:16]}"


def build(on: Stack) -> None:
    """Build the server's image where its engine does not have it yet."""
    name = on.variables["STACK_IMAGE"]
    if on.engine.has("image", "inspect", name):
        return
    if os.environ.get("STACK_IMAGE"):
        raise Unjudged(f"there is no image {name} on this engine", "Load or pull it there, or unset STACK_IMAGE.")
    with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
        context, hidden = Path(folder, "context"), Path(folder, "secrets")
        context.mkdir()
        hidden.mkdir(mode=0o700)
        shutil.copytree(HERE / "inside", context / "inside", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(HERE / "Dockerfile", context / "Dockerfile")
        (context / "requirements.txt").write_text(requirements())
        own = on.engine.run("context", "show").strip()
        command = ["buildx", "build", "--builder", own, "--load", "--progress", "plain", "--tag", name]
        if os.environ.get("IMAGE_BASE"):
            command += ["--build-arg", f"BASE={os.environ['IMAGE_BASE']}"]
        for secret in index(hidden):
            command += ["--secret", f"id={secret},src={hidden / secret}"]
        try:
            on.engine.run(*command, str(context), loud=True)
        except Failed as error:
            raise explained(f"the build of {name} failed", error) from error


def give_secrets(on: Stack) -> Stack:
    """Hand this machine's secrets to the host, or leave it those it has; returns the stack with their mark.

    Raises Unjudged where there are none in either place.
    """
    if not on.engine.has("volume", "inspect", on.variables["STACK_BACKUPS"]):
        on.engine.run("volume", "create", on.variables["STACK_BACKUPS"])
    given = secrets.files()[0] if secrets.there() else ""
    try:
        mark = on.word("keep", given=given, timeout_s=300).strip()
    except Failed as error:
        raise explained("the secrets could not be put on the host", error) from error
    if not mark:
        remedy = "Make them: python3 -m deploy.mlflow password. Or put back those of this stack."
        raise Unjudged(f"there are no secrets, neither in {secrets.folder()} nor on the host", remedy)
    variables = on.variables | {"STACK_SECRETS": mark}
    return Stack(on.name, Engine("docker", {**on.engine.settings, **variables}), variables, on.files)


def start(on: Stack) -> None:
    """Start every service and return when the server answers; raises Unjudged with the reason where it does not."""
    try:
        on.compose("up", "--detach", *SERVICES, timeout_s=READY_S)
    except Failed as error:
        raise _why(on, error) from error
    end = time.monotonic() + READY_S
    while (states := on.states()).get("mlflow") != ("running", "healthy"):
        restarts = on.engine.run("inspect", "--format", "{{.RestartCount}}", f"{on.name}-mlflow-1")
        if states.get("mlflow", ("", ""))[0] == "exited" or int(restarts) >= RESTARTS or time.monotonic() > end:
            raise _why(on, None)
        time.sleep(1)


def _why(on: Stack, error: Failed | None) -> Outcome:
    """The service that is to blame, and what it said."""
    states = on.states()
    for service in ("postgres", "seaweedfs", "migrate", "mlflow"):
        state, health = states.get(service, ("absent", ""))
        finished = service == "migrate" and state == "exited" and "didn't complete" not in str(error)
        if not finished and (state, health) != ("running", "healthy") and state not in ("absent", "created"):
            remedy = f"docker logs {on.name}-{service}-1 has all of it; docs/mlflow.md, 'What breaks'."
            return Unjudged(f"{service} is {health or state}: {on.last_words(service)}", remedy)
    return explained("the stack could not be started", error) if error else Unjudged("the stack did not start in time")
