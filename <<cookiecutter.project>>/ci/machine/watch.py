"""While a training runs: samples of the machine into a file that outlives it, and a sign of life where it is silent."""

import contextlib
import csv
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from ci.machine import devices, journal
from << cookiecutter.__package >> import host
from << cookiecutter.__package >>.host import gib

EVERY_S = 5.0  # between two samples
SILENCE_S = 50.0  # of the training, then the watch speaks: a forge may drop a job that says nothing
TAIL = 200  # lines that are kept at hand
ROUND = re.compile(r"\bround (\d+)(?: of (\d+))?")


def sample(gpus: Sequence[devices.Device], seconds: float) -> dict[str, float | None]:
    """One reading, sizes in MB: the host, the processes of this training, the disk, and each GPU."""
    memory = host.memory()
    row: dict[str, float | None] = {
        "seconds": round(seconds, 1),
        "host_mb": (memory.most - memory.available) // host.MB,
        "processes_mb": sum(map(_resident, psutil.Process().children(recursive=True))) // host.MB,
        "disk_free_mb": host.free(Path.cwd()) // host.MB,
    }
    for number, gpu in enumerate(gpus):
        row |= {f"gpu{number}_mb": gpu.used // host.MB, f"gpu{number}_busy": gpu.busy}
    return row


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


class Watch:
    """`with Watch(gpu) as watch: …` samples; `watch.heard(line)` for every line that the training says.

    Neither a full disk nor a GPU that no longer answers ends it: they are what it is there to tell of.
    """

    def __init__(self, gpu: bool, every_s: float = EVERY_S, silence_s: float = SILENCE_S) -> None:
        self.gpu, self.every_s, self.silence_s = gpu, every_s, silence_s
        self.start = self.last = time.monotonic()
        self.round = ""
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.names: list[str] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        self.thread.join()

    def heard(self, line: str) -> None:
        self.last = time.monotonic()
        self.tail.append(line.rstrip("\n"))
        _append(journal.OUTPUT, line)
        said = ROUND.search(line)
        if said:
            self.round = f"round {said[1]}{f' of {said[2]}' if said[2] else ''}, "

    def _run(self) -> None:
        while True:
            gpus = self._gpus()
            row = sample(gpus, time.monotonic() - self.start)
            if not self.names:
                self.names = list(row)
                _append(journal.SAMPLES, ",".join(self.names) + "\n")
            values = (row.get(name) for name in self.names)
            _append(journal.SAMPLES, ",".join("" if value is None else str(value) for value in values) + "\n")
            if time.monotonic() - self.last >= self.silence_s:
                print(f"train: still training, {self.round}{life(row, gpus)}", flush=True)
                self.last = time.monotonic()
            if self.ended.wait(self.every_s):
                return

    def _gpus(self) -> list[devices.Device]:
        try:
            return devices.visible() if self.gpu else []
        except Exception as error:
            print(f"train: the GPU no longer answers: {error}", flush=True)
            self.gpu = False
            return []


def _append(path: Path, text: str) -> None:
    with contextlib.suppress(OSError), path.open("a") as file:
        file.write(text)


def life(row: Mapping[str, float | None], gpus: Sequence[devices.Device]) -> str:
    """How long and with how much memory, for the log."""
    held = [f"{gib(gpu.used)} of {gib(gpu.total)} of {gpu.name}" for gpu in gpus]
    own = f"{gib(row['host_mb'] * host.MB)} of {gib(host.memory().most)} of the host"
    return ", ".join([f"{row['seconds'] / 60:.0f} min", *held, own])


def rows() -> list[dict[str, float]]:
    """The samples of the last training, without what a driver did not say; a line that is torn is left out."""
    text = journal.SAMPLES.read_text() if journal.SAMPLES.exists() else ""
    whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(whole)]


def summary(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What a training cost its machine: peaks in MB, the least free disk, the mean of each GPU's use in percent."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for row in samples for name in row):
        values = [row[name] for row in samples if name in row]
        if name.endswith("_busy"):
            found[f"mean_{name}"] = round(sum(values) / len(values), 1)
        elif name == "disk_free_mb":
            found["least_disk_free_mb"] = min(values)
        elif name.endswith("_mb"):
            found[f"peak_{name}"] = max(values)
    return found
