"""Releases kept by digest below `.deployments/releases/`: going back to one needs neither a build nor a registry."""

import hashlib
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from deploy.store import read, state
from deploy.target import ROOT, Release
from << cookiecutter.__package >>.outcome import Bad, Unjudged


def digest(folder: Path) -> str:
    """The content address of a folder: the sha256 over relative path and content of each file, in path order."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"


def folder(release: Release) -> Path:
    return state("releases", release.digest.removeprefix("sha256:"))


def rows(release: Release) -> dict[str, Any] | None:
    """The release's rows.json, as it was kept here or as the package in build/ brings it; None where it is not here."""
    kept, build = folder(release) / "rows.json", ROOT / "build"
    packaged = read(build / "package.json")
    if not kept.exists() and packaged and Release.of(packaged) == release:
        kept = build / "rows.json"
    return read(kept)


def keep(package: Path) -> Release:
    """Copy the package that `package` (a package.json) describes, unless it is kept already; checks its digest."""
    described = read(package)
    if described is None:
        raise Unjudged(f"there is no package: {package} is absent", "Call `make package` first.")
    release = Release.of(described)
    kept = folder(release)
    if not (kept.exists() and digest(kept / "bento") == release.digest):
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=kept.parent))
        try:
            shutil.copytree(ROOT / described["path"], partial / "bento", symlinks=True)
            for name in (package, package.with_name("rows.json"), *package.parent.glob("manifest.json*")):
                shutil.copy2(name, partial)
            actual = digest(partial / "bento")
            if actual != release.digest:
                what = f"the package is not what it says: its content is {actual}, its package.json {release.digest}"
                raise Bad(what, "Call `make package` again and change nothing in build/.")
            shutil.rmtree(kept, ignore_errors=True)
            partial.rename(kept)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return release


def forget_others(wanted: Collection[Release]) -> None:
    """Remove every kept release that is not among `wanted`."""
    for path in state("releases").glob("*"):
        if path not in map(folder, wanted):
            shutil.rmtree(path)
