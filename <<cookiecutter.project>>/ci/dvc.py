"""`dvc repro` with the exit codes of this project: DVC itself answers 255 to whatever goes wrong in a stage."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from << cookiecutter.__package >>.outcome import Bad, Outcome, Unjudged

NOISE = re.compile(
    r"^(> |Verifying data sources|Updating lock file|Generating lock file|To track|\tgit add|To enable|\tdvc config|"
    r"Use `dvc push`|Data and pipelines are up to date|.*didn't change, skipping|\s*$)"
)
HELD = Path(".dvc/tmp/rwlock")  # which process reads and writes what
RUNNING = re.compile(r"^Running stage '(.+)':")
FAILED = re.compile(r"failed to reproduce '(.+?)': (.+)")


def repro(targets: list[str], heard: Callable[[str], None] | None = None) -> list[str]:
    """Bring the stages and all that they need up to date, passing on what they print; returns the stages that ran.

    `heard` gets every line.

    Raises Bad where a stage judged its input bad (it says so itself, above), and Unjudged for everything else.
    """
    release()
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    ran, lines = [], []
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **piped) as process, passing_on(process) as asked:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if heard:
                heard(line)
            started = RUNNING.match(line)
            if started:
                ran.append(started[1])
            if not NOISE.match(line):
                print(line, end="", flush=True)
    if asked:
        raise Unjudged(f"stopped by {asked[0].name}", "Run it again: what has been reached is kept.")
    if process.returncode:
        raise explained(lines)
    return ran


def release() -> None:
    """Take back what a killed `dvc repro` holds: DVC waits for its number, even where that is a zombie or a stranger,
    and for a file that was torn by the kill."""
    with contextlib.suppress(FileNotFoundError):
        try:
            held = json.loads(HELD.read_text())
            infos = [*held.get("write", {}).values(), *(one for many in held.get("read", {}).values() for one in many)]
        except ValueError:
            infos = []
        if not any(alive(info["pid"]) for info in infos):
            HELD.unlink()


def alive(pid: int) -> bool:
    """Whether that process is a DVC that still works."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "dvc" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@contextlib.contextmanager
def passing_on(process: subprocess.Popen) -> Iterator[list[signal.Signals]]:
    """Pass a request to stop on to the stage that runs, so that it saves what it has reached; yields the requests.

    DVC itself is left to end as after any failure of a stage, its locks released, unless no stage runs.
    """
    asked: list[signal.Signals] = []

    def stop(number: int, frame: object) -> None:
        asked.append(signal.Signals(number))
        with contextlib.suppress(psutil.Error):
            dvc = psutil.Process(process.pid)
            for one in dvc.children(recursive=True) or [dvc]:
                with contextlib.suppress(psutil.Error):
                    one.send_signal(number)

    wanted = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, stop) for number in wanted]
    try:
        yield asked
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


def explained(lines: list[str]) -> Outcome:
    """The outcome that the output of a failed `dvc repro` stands for."""
    failures = [(at, FAILED.search(line)) for at, line in enumerate(lines) if FAILED.search(line)]
    if not failures:
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        return Unjudged(f"dvc repro failed: {errors[0] if errors else 'it does not say why'}", "See the lines above.")
    at, failure = failures[-1]
    stage, reason = failure[1], failure[2]
    code = re.search(r"exited with (-?\d+)", reason)
    if "missing data 'source'" in reason:
        return Unjudged(f"the raw data is not here: {reason.split(': ')[-1]}", "Run `make data`.")
    if not code:
        return Unjudged(f"dvc could not run {stage}: {reason}", "See the lines above.")
    if code[1] in ("-9", "137"):
        what = f"stage {stage} was killed, most often for want of memory"
        return Unjudged(what, "Free memory, or use a larger runner.")
    if code[1] in ("-15", "143"):
        return Unjudged(f"stage {stage} was stopped by SIGTERM", "Run it again: what has been reached is kept.")
    # A Python that fails before its first line also exits with 1: only a stage that says so has judged.
    judged = any(line.startswith(f"{stage}: ") for line in lines[:at][-2:])
    if code[1] == "1" and judged:
        return Bad(f"stage {stage} judged what it was given bad", "Do what its message above says.")
    return Unjudged(f"stage {stage} failed with exit code {code[1]}", "See its message above.")
