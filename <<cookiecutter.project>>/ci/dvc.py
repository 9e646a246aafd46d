"""`dvc repro` with the exit codes of this project: DVC itself answers 255 to whatever goes wrong in a stage."""

import re
import subprocess
import sys

from << cookiecutter.__package >>.outcome import Bad, Outcome, Unjudged

NOISE = re.compile(
    r"^(> |Verifying data sources|Updating lock file|Generating lock file|To track|\tgit add|To enable|\tdvc config|"
    r"Use `dvc push`|Data and pipelines are up to date|.*didn't change, skipping|\s*$)"
)
RUNNING = re.compile(r"^Running stage '(.+)':")
FAILED = re.compile(r"failed to reproduce '(.+?)': (.+)")


def repro(targets: list[str]) -> list[str]:
    """Bring the stages and all that they need up to date, passing on what they print; returns the stages that ran.

    Raises Bad where a stage judged its input bad (it says so itself, above), and Unjudged for everything else.
    """
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    ran, lines = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1) as process:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            started = RUNNING.match(line)
            if started:
                ran.append(started[1])
            if not NOISE.match(line):
                print(line, end="", flush=True)
    if process.returncode:
        raise explained(lines)
    return ran


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
    # A Python that fails before its first line also exits with 1: only a stage that says so has judged.
    judged = any(line.startswith(f"{stage}: ") for line in lines[:at][-2:])
    if code[1] == "1" and judged:
        return Bad(f"stage {stage} judged what it was given bad", "Do what its message above says.")
    return Unjudged(f"stage {stage} failed with exit code {code[1]}", "See its message above.")
