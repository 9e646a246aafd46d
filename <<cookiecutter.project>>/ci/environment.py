"""The environment of each word: uv, the locked groups that it needs, and the variables that every tool sees.

Standard library only: this runs before any environment exists.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from ci.words import WORDS

ROOT = Path(__file__).resolve().parent.parent
UV_VERSION = "0.13.8"
INSIDE = "CI_ENVIRONMENT"  # names the environment that this process runs in

QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # or onnxruntime asks for its maker's servers, and waits for them when it ends
}


def fail(what: str, remedy: str) -> NoReturn:
    print(f"environment: {what}\n  -> {remedy}", file=sys.stderr)
    raise SystemExit(2)


def uv() -> str:
    """The path of uv: `UV`, the one on PATH, or one installed into `.tools/` on first use."""
    found = os.environ.get("UV") or shutil.which("uv")
    if found:
        return found
    own = ROOT / ".tools" / "uv"
    if not (own / "bin" / "uv").exists():
        print(f"environment: installing uv {UV_VERSION} into .tools/", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(own)], check=True)
        pip = [str(own / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, f"uv=={UV_VERSION}"], check=False).returncode:
            shutil.rmtree(own)
            fail(f"uv {UV_VERSION} could not be installed", "Reach a Python package index, or put uv on PATH.")
    return str(own / "bin" / "uv")


def device() -> str:
    """The dependency group of XGBoost: cuda where `DEVICE=cuda` or an NVIDIA driver is loaded, else cpu."""
    asked = os.environ.get("DEVICE", "auto")
    if asked not in ("auto", "cpu", "cuda"):
        fail(f"DEVICE is {asked!r}", "Use auto, cpu or cuda.")
    if asked == "auto":
        return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"
    return asked


def distributed() -> bool:
    """Whether training is to use workers: DASK_SCHEDULER, or more than one in params.yaml (YAML has no reader yet)."""
    params = ROOT / "params.yaml"
    asked = re.search(r"^ +workers: *(\d+)", params.read_text() if params.exists() else "", re.MULTILINE)
    return bool(os.environ.get("DASK_SCHEDULER")) or bool(asked and int(asked[1]) > 1)


def groups(word: str) -> list[str]:
    wanted = [group for group in WORDS[word].groups if group != "distributed" or distributed()]
    return [device() if group == "device" else group for group in wanted]


def prepare(names: list[str]) -> Path:
    """Make or update the environment of these groups and return it; instant when the lock has not changed.

    It lies in `.venvs/`, or under `ENVIRONMENTS`: a place that outlives the workspace of a self-hosted runner.
    """
    environment = Path(os.environ.get("ENVIRONMENTS", ROOT / ".venvs")).absolute() / "-".join(names)
    state = b"".join((ROOT / name).read_bytes() for name in ("uv.lock", "pyproject.toml", ".python-version"))
    wanted = hashlib.sha256(state).hexdigest()
    stamp = environment / "locked"
    if stamp.exists() and stamp.read_text() == wanted:
        with contextlib.suppress(PermissionError):
            os.utime(stamp)  # `clean` removes what was not used for longest
        return environment
    environment.parent.mkdir(parents=True, exist_ok=True)
    with open(environment.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two words that start at once: the second waits, and finds it made
        if not (stamp.exists() and stamp.read_text() == wanted):
            print(f"environment: {'-'.join(names)} from uv.lock", file=sys.stderr)
            only = [argument for name in names for argument in ("--only-group", name)]
            command = [uv(), "sync", "--locked", "--quiet", *only]
            variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment)}
            variables.pop("VIRTUAL_ENV", None)
            if subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode:
                remedy = "See uv's message above; `uv lock` if it is out of date."
                fail("the locked packages could not be installed", remedy)
            stamp.write_text(wanted)
    return environment


def variables(environment: Path) -> dict[str, str]:
    """The variables of a process inside `environment`: its Python first on PATH, `src` importable, telemetry off."""
    return {
        **QUIET,
        **os.environ,
        INSIDE: environment.name,
        "PATH": os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "",  # packages are compiled once, not at every start
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": str(environment),
    }


def enter(word: str, arguments: list[str]) -> NoReturn:
    """Replace this process with the word in its own environment, at the root of the repository."""
    if word not in WORDS:
        fail(f"there is no word {word!r}", f"The words are: {', '.join(WORDS)}.")
    environment = prepare(groups(word))
    os.chdir(ROOT)
    python = environment / "bin" / "python"
    os.execve(python, [str(python), "-m", "ci", word, *arguments], variables(environment))  # noqa: S606
