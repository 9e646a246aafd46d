"""One training at a time on a device: a lock of the kernel's for each, in a folder that all runners here share.

LOCKS names the folder; by default one that survives restarts and that every user may write to. The kernel drops a
lock with the process that holds it, so none is ever left behind; the note in its file then tells whose it was.
"""

import contextlib
import fcntl
import getpass
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ci.machine.leftovers import end, marked
from << cookiecutter.__package >>.outcome import Unjudged

DEFAULT = "/var/tmp/training-locks"  # noqa: S108 -- shared on purpose
EVERY_S = 60.0  # between two lines of one that waits
POLL_S = 0.2


def folder() -> Path:
    """The shared folder, made on first use."""
    place = Path(os.environ.get("LOCKS") or DEFAULT)
    if not place.is_dir():
        with contextlib.suppress(FileExistsError):
            place.mkdir(parents=True)
            place.chmod(0o1777)
    return place


def about(run: str, project: str) -> dict[str, Any]:
    """The note of this process: who trains what, since when, and where it can be watched."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    page = f"{server}/{repository}/actions/runs/{os.environ.get('GITHUB_RUN_ID')}" if server and repository else ""
    return {
        "run": run,
        "project": project,
        "url": os.environ.get("CI_JOB_URL") or page,
        "user": os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or getpass.getuser(),
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def told(note: Mapping[str, Any]) -> str:
    """A note as the words of a sentence."""
    if not note:
        return "a training that has left no note"
    where = f", {note['url']}" if note.get("url") else ""
    said = f"{note['project']} of {note['user']} since {note['since']} (process {note['process']}{where})"
    return " ".join(said.split())  # anybody can write it: no line of its own in a forge's log


@contextlib.contextmanager
def hold(names: Sequence[str], note: Mapping[str, Any], needed: Callable[[], bool]) -> Iterator[bool]:
    """Hold the locks of all these devices while the block runs.

    Waits up to LOCK_WAIT_MINUTES for whoever holds one, then raises Unjudged; but yields False, without a lock, where
    `needed()` says that there is nothing to wait for. What a dead holder has left running is ended.
    """
    minutes = float(os.environ.get("LOCK_WAIT_MINUTES") or 360)
    with contextlib.ExitStack() as stack:
        for name in sorted(names):  # everybody in the same order: nobody waits for each other
            file = _opened(folder() / f"{name}.lock")
            stack.callback(os.close, file)
            if not _taken(file):
                if not needed():
                    yield False
                    return
                _wait(file, name, minutes)
            _take_over(file, name)
            _write(file, note)
            stack.callback(_write, file, {})
        yield True


def _wait(file: int, name: str, minutes: float) -> None:
    start = line = time.monotonic()
    while not _taken(file):
        now, holder = time.monotonic(), told(_read(file))
        if now - start > 60 * minutes:
            what = f"{name} is still held after {minutes:g} min, by {holder}"
            raise Unjudged(what, "Wait for it or end it; LOCK_WAIT_MINUTES says how long to wait.")
        if now >= line:
            waited = f"{(now - start) / 60:.0f} of {minutes:g} min"
            print(f"train: waiting for {name}, {waited}: held by {holder}", flush=True)
            line = now + EVERY_S
        time.sleep(POLL_S)


def _take_over(file: int, name: str) -> None:
    """Say whose lock it was, where its holder died, and end what that left behind."""
    note = _read(file)
    if note:
        print(f"train: {name} was held by {told(note)}; its holder died: taken over", flush=True)
        for process in end(marked(note["run"])):
            print(f"train: ended what it left behind: {process}", flush=True)


def _opened(path: Path) -> int:
    """Every user may open it; two who make it at once get the same one.

    A file that is there is opened without O_CREAT, which the kernel refuses for other users' files in such folders
    (fs.protected_regular).
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
            os.fchmod(made, 0o666)
            return made


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> dict[str, Any]:
    try:
        return json.loads(os.pread(file, 10_000, 0) or "{}")
    except ValueError:  # seen while it is written
        return {}


def _write(file: int, note: Mapping[str, Any]) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(note).encode() if note else b"", 0)
