"""One change of an environment at a time."""

import fcntl
import getpass
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from deploy.target import state
from << cookiecutter.__package >>.outcome import Unjudged


def who() -> str:
    """The person or the pipeline's user on whose behalf this process runs."""
    return os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or getpass.getuser()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def hold(environment: str, word: str, wait_s: float) -> Iterator[None]:
    """Hold the environment while the block runs; raises Unjudged when another holder does not let go in `wait_s`.

    The kernel drops the lock with the process that holds it, so none is ever left behind.
    """
    path = state(environment, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        end, told = time.monotonic() + wait_s, False
        while not _taken(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            if time.monotonic() > end:
                raise Unjudged(f"{environment} is being changed: {holder}", "Wait for it to end, then call again.")
            if not told:
                print(f"{word}: {environment} is being changed: {holder}; waiting up to {wait_s:g} s", file=sys.stderr)
                told = True
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"{word} by {who()} since {now()}, process {os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _taken(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
