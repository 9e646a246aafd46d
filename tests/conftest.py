"""Fixtures: the template baked, set up and trained, each made once and handed out as private copies.

Environments of the generated projects lie in `.environments/` (or `ENVIRONMENTS`) and are shared by all tests.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
ENVIRONMENTS = Path(os.environ.get("ENVIRONMENTS", TEMPLATE / ".environments"))
FAST_FIRST = ["test_bake", "test_hostile", "test_cruft"]

# A machine of nobody: git and the tools see no configuration of the user who runs the tests, and write none (for a
# process of root, /dev/null as the global configuration is a file that `git config` replaces).
NOBODY = {
    "GIT_CONFIG_GLOBAL": str(ENVIRONMENTS / "gitconfig"),
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.org",
    "GIT_COMMITTER_NAME": "Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.org",
}
INHERITED = ("CI_ENVIRONMENT", "DEVICE", "MLFLOW_TRACKING_URI", "PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
INHERITED += ("PYTHONDONTWRITEBYTECODE",)  # the environments are compiled once, on first import


def pytest_configure() -> None:
    os.environ.update(NOBODY, UV=uv(), LOCKS=tempfile.mkdtemp(prefix="locks-"))  # no test waits for another's training
    atexit.register(shutil.rmtree, os.environ["LOCKS"])
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    Path(NOBODY["GIT_CONFIG_GLOBAL"]).write_text("")
    for name in INHERITED:
        os.environ.pop(name, None)


def pytest_report_header() -> list[str]:
    engines = {
        "docker": _succeeds("docker", "info"),
        "kubernetes": _succeeds("kubectl", "version", "--request-timeout=2s"),
        "GPU": Path("/proc/driver/nvidia/version").exists(),
        "node": bool(shutil.which("node")),
    }
    found = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in engines.items())
    return [f"template: {TEMPLATE}", f"environments: {ENVIRONMENTS}", f"engines: {found}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast files first, so that `-x` stops early; each file keeps its own order."""
    rank = {name: place for place, name in enumerate(FAST_FIRST)}
    items.sort(key=lambda item: (rank.get(item.path.stem, len(rank)), item.path.stem))


def uv() -> str:
    """The uv that `make test` runs with, the one on PATH, or the one that `make` has put into `.tools/`."""
    own = TEMPLATE / ".tools" / "uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(own) if own.exists() else None)
    assert found, "uv is neither named by UV nor on PATH: run the tests by `make test`"
    return found


def _succeeds(*command: str) -> bool:
    if not shutil.which(command[0]):
        return False
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def run(command, cwd: Path, env: dict | None = None, timeout: float = 900) -> subprocess.CompletedProcess:
    """Run a command with text output; print it, so that a test that fails shows what happened."""
    command = [str(part) for part in command]
    variables = {**os.environ, **(env or {})}
    done = subprocess.run(
        command, cwd=cwd, env=variables, timeout=timeout, check=False, capture_output=True, text=True
    )
    print(f"$ {' '.join(command)}   [exit {done.returncode}]\n{done.stdout}{done.stderr}")
    return done


def speak(project: Path, name: str, *arguments, env: dict | None = None, code: int | None = None, timeout: float = 900):
    """Run `python -m ci.<name>` in the project; with `code`, assert that it ends with that exit code.

    A variable given as None in `env` is removed.
    """
    python = (project / ".python-version").read_text().strip()
    variables = {**os.environ, "ENVIRONMENTS": str(ENVIRONMENTS / python), **(env or {})}
    variables = {key: str(value) for key, value in variables.items() if value is not None}
    command = [sys.executable, "-m", f"ci.{name}", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=project, env=variables, timeout=timeout, check=False, capture_output=True, text=True
    )
    said = f"$ {name} {' '.join(command[3:])}   [exit {done.returncode}]\n{done.stdout}{done.stderr}"
    print(said)
    assert code is None or done.returncode == code, f"`{name}` should have ended with {code}\n{said}"
    return done


def commit(project: Path, message: str) -> str:
    """Commit everything in the project and return the new commit's hash."""
    for command in (["add", "--all"], ["commit", "--quiet", "--message", message]):
        subprocess.run(["git", *command], cwd=project, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.strip()


def copy(project: Path, into: Path) -> Path:
    """Copy the project with everything beside it (its DVC remote) and point its MLflow records at the copy."""
    into.mkdir(parents=True)
    subprocess.run(["cp", "-a", f"{project.parent}/.", str(into)], check=True)
    copied = into / project.name
    if (copied / "mlflow.db").exists():
        _move_records(copied / "mlflow.db", str(project), str(copied))
    return copied


def _move_records(database: Path, old: str, new: str) -> None:
    """Replace a folder's path in every text of an MLflow database: artifact addresses are stored whole."""
    with contextlib.closing(sqlite3.connect(database)) as records, records:
        for (table,) in records.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = records.execute(f"PRAGMA table_info('{table}')").fetchall()
            for column in (name for _, name, kind, *_ in columns if "CHAR" in kind.upper() or kind.upper() == "TEXT"):
                records.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)',  # noqa: S608
                    (old + "/", new + "/", old + "/"),
                )


def checkout(into: Path) -> Path:
    """Copy this repository as git sees it: whatever tools left behind in ignored files stays out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=TEMPLATE, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(TEMPLATE / name):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TEMPLATE / name, into / name, follow_symlinks=False)
    return into


@functools.cache
def source() -> Path:
    """The checkout that every test generates from, made once."""
    folder = Path(tempfile.mkdtemp(prefix="shipshape-"))
    atexit.register(shutil.rmtree, folder)
    return checkout(folder / "cookiecutter-shipshape")


def render(output: Path, template: Path | None = None, **choices: str) -> Path:
    """Generate a project in `output` with these answers, as `cookiecutter --no-input` does."""
    output.mkdir(parents=True, exist_ok=True)
    settings = output / ".cookiecutterrc"
    settings.write_text(f"replay_dir: {output / '.replay'}\ncookiecutters_dir: {output / '.cookiecutters'}\n")
    options = {"no_input": True, "output_dir": str(output), "config_file": str(settings)}
    made = cookiecutter(str(template or source()), extra_context=choices, **options)
    settings.unlink()
    shutil.rmtree(output / ".replay")
    return Path(made)


@pytest.fixture
def bake(tmp_path):
    """`bake(**choices)` generates a project in a folder of its own and returns its path."""
    made = []

    def generate(**choices: str) -> Path:
        made.append(render(tmp_path / f"bake-{len(made)}", **choices))
        return made[-1]

    return generate


@pytest.fixture
def word():
    """`word(project, "check", *arguments, env=…, code=…)` runs a word and returns the CompletedProcess."""
    return speak


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """`shared(name, make)` makes a project once for all workers of this run: `make(folder)` returns its path."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    base = tmp_path_factory.getbasetemp().parent / run_id if run_id else tmp_path_factory.mktemp("shared")
    base.mkdir(exist_ok=True)

    def once(name: str, make) -> Path:
        made = base / f"{name}.made"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                made.write_text(str(make(base / name)))
        return Path(made.read_text())

    return once


@pytest.fixture(scope="session")
def default_project(shared) -> Path:
    """The default project after `setup`, made once: copy it, never change it."""

    def make(folder: Path) -> Path:
        project = render(folder)
        speak(project, "setup", code=0)
        return project

    return shared("default", make)


@pytest.fixture(scope="session")
def default_trained(default_project, shared) -> Path:
    """The default project after `setup` and `train`, committed, made once: copy it, never change it."""

    def make(folder: Path) -> Path:
        project = copy(default_project, folder / "work")
        speak(project, "train", code=0)
        commit(project, "Train the first model")
        return project

    return shared("trained", make)


@pytest.fixture(scope="session")
def default_sample(default_project, shared) -> Path:
    """As `default_trained`, on a tenth of the flights and by slower learning: it trains within seconds, many rounds."""

    def make(folder: Path) -> Path:
        project = copy(default_project, folder / "work")
        flights = project / "data" / "raw" / "flights.csv"
        lines = flights.read_text().splitlines(keepends=True)
        flights.unlink()  # a link into DVC's cache
        flights.write_text("".join([lines[0], *lines[1::10]]))
        params = (project / "params.yaml").read_text()
        assert params.count("learning_rate: 0.1\n") == 1
        (project / "params.yaml").write_text(params.replace("learning_rate: 0.1\n", "learning_rate: 0.05\n"))
        speak(project, "train", env={"DEVICE": "cpu", "OMP_NUM_THREADS": "1"}, code=0)
        commit(project, "Train on a sample")
        return project

    return shared("sample", make)


@pytest.fixture
def project(default_project, tmp_path):
    """A private copy of the default project: set up, its data in a remote of its own beside it."""
    yield copy(default_project, tmp_path / "project")
    shutil.rmtree(tmp_path / "project")


@pytest.fixture
def trained(default_trained, tmp_path):
    """A private copy of the default project after `train`, committed."""
    yield copy(default_trained, tmp_path / "trained")
    shutil.rmtree(tmp_path / "trained")


@pytest.fixture
def sample(default_sample, tmp_path):
    """A private copy of the default project after `train` on a sample, committed."""
    yield copy(default_sample, tmp_path / "sample")
    shutil.rmtree(tmp_path / "sample")
