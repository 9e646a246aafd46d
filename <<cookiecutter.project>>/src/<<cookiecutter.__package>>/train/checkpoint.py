"""What a training has reached, kept where it outlives the workspace: a killed one goes on from there.

Checkpoints lie in `CHECKPOINTS`, a folder for each key; the key is the SHA-256 of all that determines the result, so
that a training only ever finds its own. A file is: the digest of the rest in hexadecimal, a line of JSON with the key
and the losses so far, and the model as XGBoost saves it. One that is torn, corrupted or of another key is never used.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 30.0  # between two checkpoints; CHECKPOINT_SECONDS overrides it
KEPT = 2  # of one training: where the newest cannot be used, the one before it is
KEYS = 4  # trainings that are remembered on a machine
ENDING = ".checkpoint"


class Reached(NamedTuple):
    """The losses of every round so far, and the model after them."""

    rounds: list[dict[str, float]]
    model: bytes


class Unusable(Exception):
    """Why a file is not a checkpoint of this training."""


def folder() -> Path:
    """CHECKPOINTS, or a folder below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    named = os.environ.get("CHECKPOINTS") or f"{cache}/<< cookiecutter.project >>/checkpoints"
    return Path(os.path.expanduser(named)).absolute()


def key(settings: Any, files: Sequence[Path]) -> str:
    """The name of a training: of its settings, of the content of the files that determine its result, and of the
    processor and the version of XGBoost that compute it."""
    import xgboost

    about = [settings, xgboost.__version__, platform.machine()]
    about += [(path.name, _digest(path)) for path in files]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packed(key: str, reached: Reached) -> bytes:
    about = {"key": key, "round": len(reached.rounds), "rounds": reached.rounds}
    rest = json.dumps(about).encode() + b"\n" + reached.model
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def unpacked(key: str, content: bytes) -> Reached:
    """What the file holds; raises Unusable unless it is whole and of this key."""
    digest, _, rest = content.partition(b"\n")
    if digest != hashlib.sha256(rest).hexdigest().encode():
        raise Unusable("it is torn or corrupted")
    line, _, model = rest.partition(b"\n")
    about = json.loads(line)
    if about["key"] != key:
        raise Unusable("it is of another training")
    return Reached(about["rounds"], model)


class Shelf:
    """The checkpoints of one training. Nothing that goes wrong with them ends the training: a line says it."""

    def __init__(self, key: str, seconds: float | None = None) -> None:
        self.key, self.place = key, folder() / key
        self.seconds = float(os.environ.get("CHECKPOINT_SECONDS") or SECONDS) if seconds is None else seconds
        self.last, self.warned = time.monotonic(), False

    def load(self) -> Reached | None:
        """The newest one that can be used; what cannot be is said and taken away."""
        for path in self._files():
            try:
                reached = unpacked(self.key, path.read_bytes())
                at = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
            except (Unusable, OSError) as error:
                print(f"train: the checkpoint {path.stem} is not used: {error}", flush=True)
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            print(f"train: goes on after {path.stem} from a checkpoint of {at:%Y-%m-%d %H:%M:%S}", flush=True)
            return reached
        return None

    def due(self) -> bool:
        return time.monotonic() - self.last >= self.seconds

    def save(self, reached: Reached) -> bool:
        """Whether it is on the disk, whole, in place of the oldest."""
        self.last = time.monotonic()
        path = self.place / f"round-{len(reached.rounds):06}{ENDING}"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            if not self.place.exists():
                self.place.mkdir(parents=True)
                self._forget()
            with partial.open("wb") as file:
                file.write(packed(self.key, reached))
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
            _sync(self.place)
            for old in self._files()[KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            if not self.warned:
                print(f"train: no checkpoint in {self.place}: {error.strerror}; the training goes on", flush=True)
            self.warned = True
            return False
        return True

    def clear(self) -> None:
        """A finished training needs none."""
        shutil.rmtree(self.place, ignore_errors=True)

    def _files(self) -> list[Path]:
        """The newest first."""
        return sorted(self.place.glob(f"round-*{ENDING}"), reverse=True)

    def _forget(self) -> None:
        """Drop the trainings that were last heard of longest ago."""
        known = [path for path in self.place.parent.iterdir() if re.fullmatch("[0-9a-f]{64}", path.name)]
        with contextlib.suppress(FileNotFoundError):  # another training forgets too
            known.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            for old in known[KEYS:]:
                shutil.rmtree(old, ignore_errors=True)


def _sync(place: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
