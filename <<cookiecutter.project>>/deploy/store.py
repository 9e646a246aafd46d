"""Where a place keeps what it must not forget: JSON by name, and who is changing an environment.

`Files` keeps it in `.deployments/` of this machine.
"""

import fcntl
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from << cookiecutter.__package >>.outcome import Unjudged

ROOT = Path(__file__).resolve().parent.parent


class Store(Protocol):
    """Each method may raise Unjudged where the place cannot be reached."""

    def read(self, environment: str, name: str) -> Any:
        """The value, or None where there is none."""

    def write(self, environment: str, name: str, value: Any) -> None:
        """Keep a value, as a whole or not at all; None removes it."""

    def hold(self, environment: str, word: str, wait_s: float) -> AbstractContextManager[None]:
        """Hold the environment while the block runs; raises Unjudged when another holder does not let go in `wait_s`.

        A holder that dies lets go.
        """


def who() -> str:
    """The person or the pipeline's user on whose behalf this process runs."""
    return os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or getpass.getuser()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def holding(word: str) -> str:
    """What a holder says of itself to those who wait."""
    return f"{word} by {who()} since {now()}, process {os.getpid()}"


def patiently(environment: str, word: str, wait_s: float, take: Callable[[], str | None]) -> None:
    """Call `take` until it returns None, for at most `wait_s`; otherwise it says who holds the environment.

    Raises Unjudged when the time is over.
    """
    end, told = time.monotonic() + wait_s, False
    while (holder := take()) is not None:
        if time.monotonic() > end:
            raise Unjudged(f"{environment} is being changed: {holder}", "Wait for it to end, then call again.")
        if not told:
            print(f"{word}: {environment} is being changed: {holder}; waiting up to {wait_s:g} s", file=sys.stderr)
            told = True
        time.sleep(0.1)


class Files:
    """A store of files; the kernel drops a lock with the process that holds it, so none is ever left behind."""

    def read(self, environment: str, name: str) -> Any:
        return read(state(environment, name))

    def write(self, environment: str, name: str, value: Any) -> None:
        path = state(environment, name)
        if value is None:
            path.unlink(missing_ok=True)
        else:
            write(path, value)

    @contextmanager
    def hold(self, environment: str, word: str, wait_s: float) -> Iterator[None]:
        path = state(environment, "lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:

            def take() -> str | None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    return file.read().strip() or "another process"
                return None

            patiently(environment, word, wait_s, take)
            file.truncate(0)
            file.write(f"{holding(word)}\n")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)


def state(*parts: str) -> Path:
    """A path below the folder of all that the deployments of this checkout remember: `DEPLOYMENTS`."""
    return Path(os.environ.get("DEPLOYMENTS") or ROOT / ".deployments").absolute().joinpath(*parts)


def read(path: Path) -> Any:
    """The JSON in `path`, or None where there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write(path: Path, value: Any) -> None:
    """Put JSON into `path`; see `replace`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def replace(path: Path, content: str, mode: int = 0o666) -> None:
    """Put content into `path` so that a reader, or a crash, sees either the old one or the new; `mode` as of umask."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
