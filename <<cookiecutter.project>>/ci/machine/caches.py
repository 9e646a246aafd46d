"""The caches of a runner, each kept below a size: what was not used for longest goes first, and nothing in use."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ci.environment import uv
from ci.machine.leftovers import below
from ci.remote import files, opened, outputs
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.train import checkpoint

HOUR = 3600.0


@dataclass(frozen=True)
class Entry:
    path: Path
    size: int  # bytes
    used: float  # seconds since the epoch
    remove: Callable[[], bool]  # says whether it did: not where it is in use


@dataclass(frozen=True)
class Cache:
    name: str
    entries: list[Entry] = field(default_factory=list)

    def bound(self, most: float) -> tuple[int, int, int]:
        """Remove entries until so many bytes are left; returns the bytes before and after, and how many went."""
        before = left = sum(entry.size for entry in self.entries)
        gone = 0
        for entry in sorted(self.entries, key=lambda entry: entry.used):
            if left <= most:
                break
            if entry.remove():
                left -= entry.size
                gone += 1
        return before, left, gone


class Packages(Cache):
    """The cache of uv, which alone knows what belongs together: first what nothing refers to, then all of it."""

    def bound(self, most: float) -> tuple[int, int, int]:
        place = Path(_uv("dir"))
        before = left = size(place)
        gone = 0
        for way in ("prune", "clean"):
            if left > most:
                _uv(way)
                left, gone = size(place), gone + 1
        return before, left, gone


def every() -> Iterator[Cache]:
    yield Packages("packages of uv")
    yield objects()
    yield environments()
    yield checkpoints(checkpoint.folder())


def environments() -> Cache:
    """Those that `ci/environment.py` has made; one is used while a process runs whose Python lies in it."""
    place = Path(os.environ.get("ENVIRONMENTS") or ".venvs").absolute()
    found = []
    for stamp in place.glob("*/locked"):
        path = stamp.parent
        if path.is_symlink():
            continue
        found.append(Entry(path, size(path), stamp.stat().st_mtime, lambda path=path: _without(path)))
    return Cache("environments", found)


def _without(environment: Path) -> bool:
    with environment.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # it is being made
            return False
        if any(command and command[0].startswith(f"{environment}/") for command in _commands()):
            return False
        (environment / "locked").unlink()  # what is half removed is not there
        shutil.rmtree(environment)
    return True


def _commands() -> Iterator[list[str]]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield process.cmdline()


def objects() -> Cache:
    """DVC's objects in the cache of this workspace, without those that it refers to."""
    repo = opened()
    place = Path(repo.cache.local.path)
    kept = {file.value for out in outputs(repo, []) for file in files(out)}
    found = []
    for path in place.glob("??/*"):
        state = path.stat()
        remove = (lambda: False) if path.parent.name + path.name in kept else lambda path=path: _removed(path)
        found.append(Entry(path, state.st_size, max(state.st_mtime, state.st_atime), remove))
    return Cache("objects of DVC", found)


def _removed(path: Path) -> bool:
    path.unlink()
    return True


def checkpoints(place: Path) -> Cache:
    """Those of every training, one folder each; one that was written within the hour is in use."""
    found = []
    for path in place.glob("[0-9a-f]" * 64):
        used = max(entry.stat().st_mtime for entry in (path, *path.iterdir()))
        found.append(Entry(path, size(path), used, lambda path=path, used=used: _idle(path, used)))
    return Cache("checkpoints", found)


def _idle(path: Path, used: float) -> bool:
    idle = time.time() - used > HOUR
    if idle:
        shutil.rmtree(path)
    return idle


def size(place: Path) -> int:
    """Bytes of the files below."""
    return sum(state.st_size for entry, state in below(place) if not entry.is_dir(follow_symlinks=False))


def _uv(word: str) -> str:
    done = subprocess.run([uv(), "cache", word], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unjudged(f"`uv cache {word}` failed: {done.stderr.strip()}", "See what it says, then call this again.")
    return done.stdout.strip()
