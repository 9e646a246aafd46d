"""A repository on a forge with everything around it: git over HTTP, storage, a registry, a runner for services."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from conftest import ENVIRONMENTS, commit, render, run, speak

from engines import images, repositories, services
from engines.forges import TOKEN

TEST = "from flight_delays.schema import SCHEMA\n\n\ndef test_example():\n    assert SCHEMA.example()\n"
SHARED = ENVIRONMENTS / "3.11"
MORE = (60, 3)  # rounds and depth of the model that the pipelines train


@dataclass
class World:
    """`origin` is the forge's bare repository, `url` its address, `clone` a developer's with all data in place."""

    origin: Path
    url: str
    clone: Path
    folder: Path
    hosted: dict[str, str]  # what a job needs to reach the storage and the registry
    runner: dict[str, str]  # what the runner for services has
    machine: dict[str, str]  # what any machine has: environments, uv

    def everything(self) -> dict[str, str]:
        return self.hosted | self.runner | self.machine

    def git(self, *arguments: str) -> str:
        done = run(["git", *arguments], cwd=self.clone)
        assert done.returncode == 0
        return done.stdout.strip()

    def branch(self, name: str, start: str = "main") -> None:
        """Start a branch from another one as the forge has it."""
        self.git("fetch", "--quiet", "origin")
        self.git("switch", "--quiet", "--force-create", name, f"origin/{start}")

    def push(self, message: str) -> str:
        """Commit everything, push the branch and return its new head."""
        made = commit(self.clone, message)
        self.git("push", "--quiet", "--force", "origin", "HEAD")
        return made

    def head(self, branch: str) -> str:
        self.git("fetch", "--quiet", "origin")
        return self.git("rev-parse", f"origin/{branch}")

    def merge(self, branch: str) -> str:
        """Put main on the branch's head, as the forge does; returns what main was."""
        before = self.head("main")
        self.git("push", "--quiet", "--force", "origin", f"origin/{branch}:main")
        return before

    def dvc(self, *arguments: str) -> None:
        command = [SHARED / "data" / "bin" / "python", "-m", "dvc", *arguments, "--quiet"]
        assert run(command, self.clone, env=self.hosted).returncode == 0

    def served(self) -> str:
        """The version that production answers with, asked of the service itself."""
        code = "import json; from flight_delays.schema import SCHEMA; print(json.dumps({'rows': [SCHEMA.example()]}))"
        row = run([SHARED / "deploy" / "bin" / "python", "-c", code], self.clone, env={"PYTHONPATH": "src"}).stdout
        url = f"http://127.0.0.1:{self.runner['PRODUCTION_PORT']}/predict"
        answer = httpx.post(url, content=row, headers={"Content-Type": "application/json"}, timeout=60)
        return str(answer.json()["model_version"])

    def production(self) -> dict:
        """The release that production was last given."""
        done = speak(self.clone, "status", "--json", env=self.everything(), code=0)
        return json.loads(done.stdout)["environments"]["production"]["release"]

    def alias(self, name: str) -> str:
        """The version that carries the alias in the registry."""
        code = f"from ci.registry import by_alias, client; print(by_alias(client(), {name!r}).number)"
        variables = {**self.hosted, "PYTHONPATH": "src:.", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return run([SHARED / "deploy" / "bin" / "python", "-c", code], self.clone, env=variables).stdout.split()[-1]


def first(folder: Path, default_project: Path) -> Path:
    """A project for both forges with a first model, on a tenth of the example data, with limits to match.

    Its branch `worse` holds a model that the gate refuses, and the dvc.lock and reports of its training;
    `uninterrupted` those of the model that the pipelines train.
    """
    project = render(folder, forge="both", remote=f"s3://{services.BUCKET}/flights")
    raw = project / "data" / "raw"
    lines = (default_project / "data" / "raw" / "flights.csv").read_text().splitlines(keepends=True)
    (raw / "flights.csv").write_text("".join([lines[0], *lines[1::10]]))
    shutil.copyfile(default_project / "data" / "raw" / "weather.csv", raw / "weather.csv")
    for path in (project / "tests").glob("test_*.py"):  # they have their own time; one is enough to be run
        path.unlink()
    (project / "tests" / "test_schema.py").write_text(TEST)
    limits = {"auc": 0.55, "calibration_error": 0.2}
    relaxed = {"margin": 0.05, "jump": 0.3, "baseline": -0.1, "slices": None, "limits": limits, "resamples": 200}
    lenient = {"p95_ms": 1500, "p99_ms": 3000, "champion": {"minimum_requests": 2, "factor": 20, "allowance_ms": 1000}}
    brief = {"rate": 40, "users": 4, "duration_s": 4, "warmup_s": 1, "minimum_requests": 5, "achieved": 0.5}
    watched = {"watch_s": 0.5, "minimum_requests": 20, "allowance_ms": 2000}
    change(project / "gates.yaml", gate={"binary": relaxed}, load=brief | lenient, release=watched)
    add = [SHARED / "data" / "bin" / "python", "-m", "dvc", "add", "--quiet", raw / "flights.csv", raw / "weather.csv"]
    assert run(add, project).returncode == 0
    for branch, model in (("main", (40, 3)), ("worse", (1, 1)), ("uninterrupted", MORE)):
        run(["git", "switch", "--quiet", "-C", branch], project)
        change(project / "params.yaml", train={"xgboost": sized(*model)})
        speak(project, "train", env={"DEVICE": "cpu"}, code=0)
        commit(project, f"Train {branch}")
    run(["git", "switch", "--quiet", "main"], project)
    return project


def sized(rounds: int, depth: int) -> dict[str, int]:
    return {"n_estimators": rounds, "max_depth": depth}


@contextlib.contextmanager
def world(folder: Path, project: Path, storage: dict[str, str], registry: str) -> Iterator[World]:
    """The project as a repository on a forge, its data in the storage, with a runner that ends what it runs."""
    root, clone, home = folder / "repositories", folder / "flight-delays", folder / "deployments"
    origin = root / "team" / "project.git"
    for command in (
        ["git", "clone", "--quiet", "--bare", project, origin],
        ["git", "-C", origin, "config", "uploadpack.allowAnySHA1InWant", "true"],
        ["git", "clone", "--quiet", origin, clone],
        ["git", "-C", clone, "branch", "--quiet", "worse", "origin/worse"],
    ):
        assert run(command, folder).returncode == 0
    for kept in (".dvc/cache", "data/raw"):
        shutil.copytree(project / kept, clone / kept, dirs_exist_ok=True)
    home.mkdir()
    (home / "environments").symlink_to(SHARED)
    staging, production = services.free_ports(2)
    runner = {"DEPLOYMENTS": str(home), "STAGING_PORT": str(staging), "PRODUCTION_PORT": str(production)}
    hosted = {**storage, "MLFLOW_TRACKING_URI": registry}
    machine = {"ENVIRONMENTS": str(SHARED), "DEVICE": "cpu", "UV": os.environ["UV"]}
    machine |= {name: str(folder / name.lower()) for name in ("LOCKS", "CHECKPOINTS")} | {"CHECKPOINT_SECONDS": "0"}
    with repositories.over_http(root, TOKEN) as server, images.offered(folder) as (wanted, engine):
        hosted |= wanted
        machine |= engine
        made = World(origin, f"{server.url}/team/project.git", clone, folder, hosted, runner, machine)
        made.dvc("push", "--all-branches")
        try:
            yield made
        finally:
            speak(clone, "stop", env=made.everything())


def change(path: Path, **values: dict) -> None:
    """Set values of a YAML file, deep."""

    def merge(into: dict, values: dict) -> dict:
        return into | {
            name: merge(into[name], value) if isinstance(value, dict) and isinstance(into.get(name), dict) else value
            for name, value in values.items()
        }

    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), values), sort_keys=False))
