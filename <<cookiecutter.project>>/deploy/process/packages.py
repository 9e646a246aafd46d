"""The Python that a release runs with: the packages that its Bento lists, and no others."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ci.environment import uv
from deploy.target import ROOT
from << cookiecutter.__package >>.outcome import Unjudged

SYNC = ("--quiet", "--compile-bytecode", "--allow-empty-requirements")


def python(bento: Path) -> Path:
    """The Python of an environment with the packages of this Bento, made on first use.

    It is named by their hash, so a later lock never changes what a running or a former release imports.
    """
    needs = bento / "env" / "python" / "requirements.txt"
    version = ".".join((bento / "env" / "python" / "version.txt").read_text().strip().split(".")[:2])
    name = hashlib.sha256(f"{version}\n{needs.read_text()}".encode()).hexdigest()[:16]
    environment = Path(os.environ.get("ENVIRONMENTS") or ROOT / ".venvs").absolute() / f"release-{name}"
    if not environment.exists():
        print(f"deploy: the service's environment {environment.name}", file=sys.stderr)
        environment.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=environment.parent))
        try:
            for command in (
                [uv(), "venv", "--quiet", "--relocatable", "--clear", "--python", version, str(partial)],
                [uv(), "pip", "sync", *SYNC, "--python", str(partial), str(needs)],
            ):
                if subprocess.run(command, cwd=ROOT, check=False).returncode:
                    raise Unjudged("the service's packages could not be installed", "See uv's message above.")
            with contextlib.suppress(OSError):  # another process was first
                partial.rename(environment)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return environment / "bin" / "python"
