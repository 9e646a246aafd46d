"""What git and dvc.lock say: of the working tree, and of the commit that a change is compared with."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from << cookiecutter.__package >>.outcome import Unjudged

MODEL = "models/model.onnx"
TEST = "data/test.parquet"
RECORDED = (MODEL, TEST, "reports/metrics.json")  # what a comparison stands on
MAIN = ("origin/main", "main")


@dataclass(frozen=True)
class Base:
    """The commit to compare with, and what it is called; without `revision` there is none, or `why` tells why not."""

    revision: str = ""
    name: str = ""
    why: str = ""


def git(*arguments: str) -> str | None:
    """What git prints, or None where it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def commit(name: str) -> str | None:
    """The full hash of a commit, or None where this clone does not have it."""
    found = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return found.strip() if found else None


def show(revision: str, path: str) -> str | None:
    """A file as of a commit, or None where the commit does not have it."""
    return git("show", f"{revision}:{path}")


def outputs(lock: str | None) -> dict[str, str]:
    """Path -> md5 of every output that a dvc.lock records."""
    stages = ((yaml.safe_load(lock) if lock else None) or {}).get("stages") or {}
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}


def recorded() -> dict[str, str]:
    """`outputs` of the working tree's dvc.lock; raises Unjudged where there is none, or its stages do not fit."""
    if not Path("dvc.lock").exists():
        raise Unjudged("there is no dvc.lock, and so no candidate", "Run `make train`.")
    text = Path("dvc.lock").read_text()
    found = outputs(text)
    for name, stage in yaml.safe_load(text)["stages"].items():
        for entry in stage.get("deps", []):
            if found.get(entry["path"], entry.get("md5")) != entry.get("md5"):
                what = f"dvc.lock is torn: {name} last ran with another {entry['path']} than the one recorded"
                raise Unjudged(what, "Run `make train`.")
    return found


def md5(path: Path) -> str:
    """The hash by which DVC knows a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def current(path: str, lock: dict[str, str]) -> str:
    """The md5 of a file that must be here as dvc.lock records it; raises Unjudged otherwise."""
    if path not in lock:
        raise Unjudged(f"dvc.lock records no {path}", "Run `make train`, and commit dvc.lock.")
    if not Path(path).exists():
        raise Unjudged(f"{path} is not here", f"Run `make data ARGS={path}`, or `make train` to make it.")
    if md5(Path(path)) != lock[path]:
        what = f"{path} is not the file that dvc.lock records"
        raise Unjudged(what, f"Run `make train` to bring dvc.lock up to date, or `make data ARGS={path}` to get it.")
    return lock[path]


def base(asked: str | None, candidate: str) -> Base:
    """The commit to compare with: the one asked for (an argument, or BASE_REF), or where this branch left main.

    On main itself, with the model `candidate` (md5) already committed, that is the commit before. Raises Unjudged where
    the commit that was asked for is not in this clone.
    """
    asked = asked or os.environ.get("BASE_REF")
    if asked and asked.strip("0"):  # zeros: the push that made the branch, on both forges
        found = commit(asked) or commit(f"origin/{asked}")
        if not found:
            remedy = f"Run `git fetch origin {asked}` first; pipelines need the whole history."
            raise Unjudged(f"the base {asked!r} is not a commit of this clone", remedy)
        return Base(found, asked)
    head = commit("HEAD")
    for name in MAIN:
        if head and commit(name):
            left = (git("merge-base", "HEAD", name) or "").strip()
            if not left:
                return _unknown(f"this clone does not reach back to where the branch left {name}")
            if left != head or outputs(show(head, "dvc.lock")).get(MODEL) != candidate:
                return Base(left, name)
            return _before(name)
    return Base() if not head else _unknown("this clone has no branch main")


def _before(name: str) -> Base:
    before = commit("HEAD^")
    if before:
        return Base(before, f"{name}, one commit back")
    return _unknown("this clone holds only the latest commit") if _shallow() else Base()


def _shallow() -> bool:
    return (git("rev-parse", "--is-shallow-repository") or "").strip() == "true"


def _unknown(why: str) -> Base:
    return Base(why=f"{why}; fetch the whole history, or set BASE_REF")
