"""Docker with BuildKit, or podman: one way to call them, and sentences for what goes wrong."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from << cookiecutter.__package >>.outcome import FULL, Unjudged

Made = TypeVar("Made")
WAITS_S = (2, 8)  # before each further try of what goes over the network; Docker tries each layer five times itself
HOPELESS = ("decryption failed", "no such file", "unknown flag")  # of cosign: a wrong password, a wrong path
FORBIDDEN = ("unauthorized", "denied", "authentication required", "forbidden", "insufficient_scope")


class Failed(Exception):
    """A command ended with an error; the message is the last line that speaks of one, or the last of all."""

    def __init__(self, command: str, said: str) -> None:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines
        super().__init__(telling[-1] if telling else f"{command} said nothing")
        self.said = said


@dataclass(frozen=True)
class Engine:
    """A container engine that answers; `settings` are variables of every call, such as where its logins lie."""

    name: str  # docker or podman
    settings: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, given: str = "", timeout_s: float = 1800, loud: bool = False) -> str:
        """The output of a command of the engine; raises Failed. `given` goes to its standard input.

        With `loud` everything is shown as it comes: builds and pushes take their time.
        """
        return command([self.name, *words], self.settings, given, timeout_s, loud)

    def has(self, *words: str) -> bool:
        try:
            self.run(*words, timeout_s=60)
        except Failed:
            return False
        return True


def engine() -> Engine | None:
    """The engine that `CONTAINER_ENGINE` names, else Docker or podman where one answers; None where none does.

    Raises Unjudged where the named one does not answer.
    """
    named = os.environ.get("CONTAINER_ENGINE")
    for name in [named] if named else ["docker", "podman"]:
        if shutil.which(name) and Engine(name).has("info"):
            return Engine(name, {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})
    if named:
        raise Unjudged(f"the container engine {named} does not answer", "Start it, or unset CONTAINER_ENGINE.")
    return None


def command(
    words: Sequence[str], settings: Mapping[str, str], given: str = "", timeout_s: float = 1800, loud: bool = False
) -> str:
    """Run a command and return its output; raises Failed with what it said, also where it takes too long."""
    late = threading.Event()
    with subprocess.Popen(
        words, env={**os.environ, **settings}, text=True, errors="replace", stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT if loud else subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        timer = threading.Timer(timeout_s, lambda: (late.set(), _end(process)))
        timer.start()
        try:
            shown = "".join(map(_shown, process.stdout or ())) if loud else ""
            out, errors = process.communicate(given)
        except BaseException:
            _end(process)
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise Failed(words[0], f"{words[0]} {words[1]} took longer than {timeout_s:g} s")
    if process.returncode:
        raise Failed(words[0], f"{shown}{out}{errors or ''}")
    return shown + out


def _end(process: subprocess.Popen) -> None:
    """End it with its plug-ins, which would hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _shown(line: str) -> str:
    sys.stderr.write(line)
    return line


def explained(what: str, error: Failed) -> Unjudged:
    """The sentence for a command that failed: a full disk, a refused login, or whatever it said itself."""
    said = error.said.lower()
    if any(mark in said for mark in FULL):
        where = next(line.strip() for line in error.said.splitlines() if any(mark in line.lower() for mark in FULL))
        return Unjudged(f"{what}: the disk is full ({where})", "Make room (`docker system prune`), then call again.")
    if any(mark in said for mark in FORBIDDEN):
        remedy = "Check IMAGE_REGISTRY, IMAGE_REGISTRY_USER and IMAGE_REGISTRY_PASSWORD, and what they may do."
        return Unjudged(f"{what}: the registry refuses this login ({error})", remedy)
    return Unjudged(f"{what}: {error}", "See the messages above, then call again.")


def patiently(what: str, attempt: Callable[[], Made], waits_s: Sequence[float] = WAITS_S) -> Made:
    """What `attempt` makes, tried again after a while where the network is to blame; raises Unjudged at the end."""
    for number, wait_s in enumerate((*waits_s, None), 1):
        try:
            return attempt()
        except Failed as error:
            final = any(mark in error.said.lower() for mark in (*FULL, *FORBIDDEN, *HOPELESS))
            if final or wait_s is None:
                tries = "" if final else f", {number} times"
                raise explained(f"{what} failed{tries}", error) from error
            print(f"image: {what} failed ({error}); again in {wait_s:g} s", file=sys.stderr)
            time.sleep(wait_s)
    raise AssertionError("the last wait is None")
