"""A training as one block: the device held, the machine judged, every line heard, and a failure explained."""

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from ci.machine import before, devices, journal, lock, watch
from ci.machine.evidence import collect, machine
from ci.machine.leftovers import MARK
from ci.machine.verdict import judge
from << cookiecutter.__package >>.outcome import Outcome, Unjudged

PROJECT = "<< cookiecutter.project >>"
# Causes that lie in the machine: DVC's own message knows less of them than the evidence does.
MACHINE = ("cgroup limit", "host memory", "GPU memory", "disk full", "time limit", "killed")


@contextlib.contextmanager
def training(needed: Callable[[], bool]) -> Iterator[Callable[[str], None]]:
    """Hold the devices of this machine that a training may use, while the block runs it.

    Yields what takes every line that the training says. Where another holds a device and `needed()` says that nothing
    is out of date, the block runs beside it. Raises Unjudged where the machine cannot train, or is why it failed.
    """
    device = before.asked(yaml.safe_load(Path("params.yaml").read_text()))
    gpus = [] if device == "cpu" else devices.visible()
    names, run = [gpu.id for gpu in gpus] or ["cpu"], uuid.uuid4().hex
    with lock.hold(names, lock.about(run, PROJECT), needed) as held:
        if not held:
            yield lambda line: None
            return
        rows = before.judge(before.read(yaml.safe_load(Path("gates.yaml").read_text())["machine"], device))
        try:
            journal.begin(run, names)
        except OSError:
            before.show(rows)  # a full disk has a row of its own
            raise
        watching = watch.Watch(bool(gpus))
        try:
            before.show(rows)
            if before.required() and device == "auto":
                os.environ["DEVICE"] = "cuda"  # whose failure is one, where auto would take the CPU
            if gpus:
                devices.pin(gpus)
            os.environ[MARK] = run
            with watching:
                yield watching.heard
        except BaseException as error:
            reason = explained(error, watching)
            if reason is None:
                raise
            raise reason from error
        journal.add("end", code=0)


def explained(error: BaseException, watching: watch.Watch) -> Unjudged | None:
    """The reason of a failure where it lies in the machine, or None; either way the journal gets its end."""
    end = {"code": 2, "what": f"{type(error).__name__}: {error}", "at": time.time(), **machine()}
    if isinstance(error, KeyboardInterrupt):
        end |= {"signal": signal.SIGINT}
    if isinstance(error, Outcome):
        end |= {"code": error.code, "what": error.what, "remedy": error.remedy}
    with contextlib.suppress(OSError):  # on a full disk
        journal.add("end", **end)
    found = judge(collect(end, [*watching.tail]))
    if not isinstance(error, Unjudged) or found.kind not in MACHINE:
        return None
    evidence = "; ".join(found.evidence)
    return Unjudged(f"{found.what}: {evidence}" if evidence else found.what, found.remedy)
