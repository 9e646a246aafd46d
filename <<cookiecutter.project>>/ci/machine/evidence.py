"""What is known about a training that has ended: what it left in its workspace, and what the machine says now."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci.machine import journal, watch
from << cookiecutter.__package >> import host


@dataclass(frozen=True)
class Evidence:
    """`begin` and `end` are those of the journal; `end` is empty where none was written."""

    begin: Mapping[str, Any]
    end: Mapping[str, Any]
    now: float  # seconds since the epoch
    alive: bool = False  # the process that wrote `begin`
    boot: str = ""
    counters: Mapping[str, Any] = field(default_factory=dict)
    output: Sequence[str] = ()  # the last lines
    samples: Sequence[Mapping[str, float]] = ()
    disk_free: int = 2**60
    limit: int | None = None  # of memory, of the cgroup
    job: str = ""  # what the forge says of the job: success, failure or failed, cancelled or canceled


def collect(end: Mapping[str, Any] | None = None, output: Sequence[str] | None = None) -> Evidence:
    """The evidence about the last training of this workspace; `end` and `output` where they are known better.

    What the training itself saw of the machine at its end counts more than what is seen later.
    """
    events = journal.read()
    end = end or events.get("end", {})
    seen = machine() | end
    if output is None:
        output = journal.OUTPUT.read_text().splitlines()[-watch.TAIL:] if journal.OUTPUT.exists() else []
    return Evidence(
        begin=events.get("begin", {}),
        end=end,
        now=time.time(),
        alive=not end and journal.alive(),
        boot=host.boot(),
        counters=seen["counters"],
        output=output,
        samples=watch.rows(),
        disk_free=seen["disk_free"],
        limit=seen["limit"],
        job=os.environ.get("JOB_STATUS") or os.environ.get("CI_JOB_STATUS") or "",
    )


def machine() -> dict[str, Any]:
    """What the machine says at this moment."""
    return {"counters": host.counters(), "disk_free": host.free(Path.cwd()), "limit": host.memory().limit}
