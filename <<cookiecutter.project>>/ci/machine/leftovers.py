"""What a training leaves on a machine: processes that carry its mark, and files of another user in the workspace."""

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

MARK = "TRAINING_RUN"  # the variable that every process of a training inherits
GRACE_S = 10.0


def marked(run: str) -> list[psutil.Process]:
    """The processes of this user that a training has started, by the mark alone; never this process."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK, "") == run != "":
                found.append(process)
        except psutil.Error:  # gone, or another user's
            continue
    return found


def end(processes: Sequence[psutil.Process]) -> list[str]:
    """Ask these to end, then make them; returns what each was."""
    told = [f"process {process.pid} ({_command(process)})" for process in processes]
    for step in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            try:
                step(process)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + GRACE_S
        while any(map(_runs, processes)) and time.monotonic() < deadline:
            time.sleep(0.02)
        processes = [process for process in processes if _runs(process)]
    return told


def _runs(process: psutil.Process) -> bool:
    """A container whose first process takes no care of orphans keeps the dead ones as zombies."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
    except psutil.Error:
        return "already gone"
    return " ".join(Path(word).name if number == 0 else word for number, word in enumerate(words))[:80]


def below(root: Path) -> Iterator[tuple[os.DirEntry, os.stat_result]]:
    """Everything below `root`, links not followed; without what vanishes meanwhile or may not be read."""
    left = [str(root)]
    while left:
        with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                with contextlib.suppress(FileNotFoundError):
                    yield entry, entry.stat(follow_symlinks=False)


def foreign(root: Path) -> list[Path]:
    """Files and folders below `root` that belong to another user than `root` itself: what a container's root left."""
    owner = root.lstat().st_uid
    return [Path(entry.path) for entry, state in below(root) if state.st_uid != owner]


def give_back(root: Path, paths: Sequence[Path]) -> int:
    """Give the paths to the owner of `root`, as far as this user may; returns how many are still foreign."""
    target, left = root.lstat(), 0
    for path in paths:
        try:
            os.chown(path, target.st_uid, target.st_gid, follow_symlinks=False)
            if stat.S_ISDIR(path.lstat().st_mode):
                path.chmod(path.stat().st_mode | stat.S_IRWXU)
        except PermissionError:
            left += 1
    return left
