"""What a training leaves behind, also when it is killed: its journal, its samples and its output, in build/training/.

Each event is a line that is on the disk before the training goes on. A journal without an `end` is that of a training
that did not live to write one.
"""

import json
import os
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from << cookiecutter.__package >> import host

FOLDER = Path("build/training")  # an artifact of the job
JOURNAL = FOLDER / "journal.jsonl"
SAMPLES = FOLDER / "samples.csv"
OUTPUT = FOLDER / "output.log"
VERDICT = FOLDER / "verdict.md"


def begin(run: str, devices: Sequence[str]) -> None:
    """Start a new journal, in place of the last one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in (JOURNAL, SAMPLES, OUTPUT, VERDICT):
        path.unlink(missing_ok=True)
    own, limit = psutil.Process(), os.environ.get("TIME_LIMIT_MINUTES")
    add(
        "begin",
        run=run,
        process=own.pid,
        created=own.create_time(),
        started=_started(own),
        devices=list(devices),
        boot=host.boot(),
        counters=host.counters(),
        limit_s=60 * float(limit) if limit else None,
    )


def _started(own: psutil.Process) -> float:
    """When the clock of the time limit began: with the job on GitLab, with this step on GitHub."""
    job = os.environ.get("CI_JOB_STARTED_AT")
    return datetime.fromisoformat(job).timestamp() if job else own.create_time()


def alive() -> bool:
    """Whether the process that wrote the journal still runs."""
    begun = read().get("begin", {})
    try:
        return psutil.Process(begun["process"]).create_time() == begun["created"]
    except (KeyError, psutil.NoSuchProcess):
        return False


def add(event: str, **facts: Any) -> None:
    with JOURNAL.open("a") as file:
        file.write(json.dumps({"event": event, "at": time.time(), **facts}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read() -> dict[str, dict[str, Any]]:
    """Event -> what was written of it; empty where nothing was trained here. A torn line counts as unwritten."""
    found = {}
    for line in JOURNAL.read_text().splitlines() if JOURNAL.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        found[entry["event"]] = entry
    return found
