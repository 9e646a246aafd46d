"""Why a training ended as it did, from what it left behind and what the kernel counted; with what to change.

The kernel's counters come first, then what the stages said, then what the clock and the signals allow to conclude: a
process that was ended for want of memory says nothing itself.
"""

import re
import signal
from typing import NamedTuple

from ci.machine.evidence import Evidence
from << cookiecutter.__package >> import host
from << cookiecutter.__package >>.host import gib

GPU_MEMORY = re.compile(r"out of memory on the GPU|cudaErrorMemoryAllocation|CUDA\w*:? ?(error: )?out of memory", re.I)
HOST_MEMORY = re.compile(r"out of memory on this machine|MemoryError|std::bad_alloc|Cannot allocate memory", re.I)
DISK = re.compile(r"No space left on device|Errno 28|disk is full|Disk quota exceeded", re.I)
CRASH = re.compile(r"^(?:\w+: crashed with .*|\w*(?:Error|Exception)\b.*)$")
KILLED = re.compile(r"exited with (?:-(\d+)|1(29|[345]\d))\b")
STOPPED = re.compile(r"\bstopped by (SIG\w+)")
FULL = 16 * host.MB  # with less free than this a disk is full
NEAR = 0.98  # of the time limit

SURVIVED = "the training goes on"  # said of checkpoints that find no room
LESS = "Set train.memory to external in params.yaml, or lower max_bin or max_depth"
AGAIN = "Started again it goes on from its checkpoints."
ROOM = "Free some: `python -m ci.clean` with a lower CACHE_GB, or a larger disk."


class Verdict(NamedTuple):
    kind: str
    what: str
    remedy: str
    evidence: tuple[str, ...] = ()


def judge(given: Evidence) -> Verdict:
    """The verdict, by the first kind of evidence that tells anything."""
    if not given.begin:
        return Verdict("none", "no training was started here", "The step that failed says why.")
    if given.end.get("code") == 0:
        return Verdict("well", "the training ended well", "Where the job failed, a later step says why.")
    if given.alive:
        return Verdict("running", "the training is still running", "Wait for it, or end it.", _last(given))
    if given.end.get("code") == 1:
        return _own(given, "data error")
    return _counted(given) or _said(given) or _stopped(given)


def _counted(given: Evidence) -> Verdict | None:
    """By the counters of the kernel, and by whether it is the same kernel."""
    before, now = given.begin.get("counters", {}), given.counters
    if not given.end and given.boot and given.begin.get("boot") not in ("", None, given.boot):
        what = "the runner was lost: its machine was started anew while it trained"
        return Verdict("lost runner", what, f"Start the job again. {AGAIN}", _last(given))
    grown = {name: now[name] - before[name] for name in now if isinstance(now[name], int) and name in before}
    own = grown.get("group_kills") if before.get("group") == now.get("group") else 0
    if own and given.limit and grown.get("limit_hits") != 0:
        counted = f"the kernel ended {own} process(es) of this cgroup for want of memory"
        what = f"the memory limit of {gib(given.limit)} of this job was met"
        remedy = f"Raise the memory limit of the job (the container's, the pod's or the service's). {LESS}."
        return Verdict("cgroup limit", what, remedy, (counted, *_last(given)))
    # A kernel that does not count by cgroup counts everybody's.
    if own or (own is None and grown.get("host_kills") and _signal(given) in (0, 9)):
        counted = f"the kernel ended {own or grown['host_kills']} process(es) for want of memory"
        remedy = f"Use a larger machine, or end what else runs on it. {LESS}."
        return Verdict("host memory", "the machine ran out of memory", remedy, (counted, *_last(given)))
    return None


def _said(given: Evidence) -> Verdict | None:
    """By what the stages, and the training itself, have said."""
    for pattern, kind, what, remedy in (
        (GPU_MEMORY, "GPU memory", "the GPU ran out of memory", f"{LESS}, or use a GPU with more memory."),
        (DISK, "disk full", "the disk is full", ROOM),
        (HOST_MEMORY, "host memory", "the training ran out of memory", f"{LESS}, or use a larger machine."),
    ):
        lines = (line.strip() for line in reversed(given.output) if SURVIVED not in line)
        line = next((line for line in lines if pattern.search(line)), None)
        if line:
            return Verdict(kind, what, remedy, (f"said: {line[:200]}", *_last(given)))
    if given.disk_free < FULL or any(row.get("disk_free_mb", 2**30) * host.MB < FULL for row in given.samples[-1:]):
        found = f"{given.disk_free / host.MB:.0f} MB are free"
        return Verdict("disk full", "the disk is full", ROOM, (found, *_last(given)))
    return None


def _stopped(given: Evidence) -> Verdict:
    """By how it ended: crashed, or stopped by a signal; and when."""
    end, number = given.end, _signal(given)
    if end and number is None:
        return _own(given, "code error" if any(CRASH.match(line.strip()) for line in given.output) else "refused")
    limit = given.begin.get("limit_s")
    elapsed = (end["at"] if end else given.now) - given.begin["started"]
    how = f"by {signal.Signals(number).name}" if number else "without a trace: its journal has no end"
    said = tuple(f"said: {line}" for line in given.output[-5:] if STOPPED.search(line))
    if limit and elapsed >= NEAR * limit:
        what = f"the time limit of {limit / 60:.0f} min was met"
        remedy = f"{AGAIN} Or raise TIME_LIMIT_MINUTES and the limits of the job."
        return Verdict("time limit", what, remedy, (f"ended {how} after {elapsed / 60:.0f} min", *said, *_last(given)))
    if given.job.startswith("cancel"):
        remedy = f"Nothing, if that was meant: a newer commit replaces it. {AGAIN}"
        what = "the job was cancelled at the forge"
        return Verdict("cancelled", what, remedy, (f"ended {how}", *said, *_last(given)))
    kernel = "the kernel counted no process that it ended for want of memory"
    kernel = kernel if "group_kills" in given.counters else "whether memory was short, the kernel does not tell"
    remedy = f"Find out who ends processes here. {AGAIN}"
    word = "stopped" if number in (signal.SIGTERM, signal.SIGINT) else "killed"
    return Verdict("killed", f"the training was {word}, {how}", remedy, (kernel, *said, *_last(given)))


def _signal(given: Evidence) -> int | None:
    """The number of the signal that ended a stage or the training; 0 where no end was written, None for no signal."""
    if not given.end or given.end.get("signal"):
        return given.end.get("signal", 0)
    for line in (given.end["what"], *reversed(given.output)):
        stopped, killed = STOPPED.search(line), KILLED.search(line)
        if stopped:
            return signal.Signals[stopped[1]].value
        if killed:
            return int(killed[1] or int("1" + killed[2]) - 128)
    return None


def _own(given: Evidence, kind: str) -> Verdict:
    """What the training said itself, with the last message of a stage: its sentence, and the line of what to do."""
    what, remedy = given.end["what"], given.end.get("remedy", "See the lines above.")
    at = next((at for at in reversed(range(1, len(given.output))) if given.output[at].startswith("  -> ")), None)
    if at is not None:
        return Verdict(kind, what, given.output[at][5:], (f"said: {given.output[at - 1].strip()[:200]}",))
    crash = next((line.strip() for line in reversed(given.output) if CRASH.match(line.strip())), None)
    return Verdict(kind, what, remedy, (f"said: {crash[:200]}",) if crash else ())


def _last(given: Evidence) -> tuple[str, ...]:
    """The last sign of life, as a sentence."""
    if not given.samples:
        return ()
    row = given.samples[-1]
    gpus = [f"{row[name]:.0f} MB of {name.removesuffix('_mb')}" for name in row if re.fullmatch(r"gpu\d+_mb", name)]
    sizes = [*gpus, f"{row['host_mb']:.0f} MB of the host", f"{row['disk_free_mb']:.0f} MB of disk free"]
    return (f"last sample after {row['seconds'] / 60:.1f} min: {', '.join(sizes)}",)
