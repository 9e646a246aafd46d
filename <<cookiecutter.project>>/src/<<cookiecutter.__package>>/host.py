"""Memory, disks and the kernel's counters; what a kernel does not show counts as absent."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60  # version 1 of cgroups shows "no limit" as a number near 2**63
MB, GB = 2**20, 2**30


def gib(size: float) -> str:
    return f"{size / GB:.1f} GiB"


@dataclass(frozen=True)
class Memory:
    """In bytes. `available` is what a new process gets without swapping, under the limit of the cgroup too."""

    total: int
    available: int
    limit: int | None  # of the cgroup

    @property
    def most(self) -> int:
        return min(self.total, self.limit or self.total)


def memory() -> Memory:
    host = psutil.virtual_memory()
    limits = [(limit, _used(folder)) for folder, limit in _limited()]
    available = min([host.available, *(max(limit - used, 0) for limit, used in limits)])
    return Memory(host.total, available, min([limit for limit, _ in limits], default=None))


def counters() -> dict[str, int | str]:
    """What only grows: processes that the kernel ended for want of memory, in this cgroup and on the whole host, and
    how often a limit of the cgroup was met (version 2 alone tells). They compare only within one `group`."""
    own = next(_folders(), GROUPS)
    files = ("memory.events.local", "memory.events", "memory.oom_control")
    kills = next(filter(None, (_pairs(own / name) for name in files)), {})
    hits = [_pairs(folder / "memory.events").get("oom") for folder, _ in _limited()]
    found = {
        "group_kills": kills.get("oom_kill"),
        "limit_hits": None if None in hits else sum(hits),
        "host_kills": _pairs(Path("/proc/vmstat")).get("oom_kill"),
    }
    return {"group": str(own), **{name: value for name, value in found.items() if value is not None}}


def free(place: Path) -> int:
    """Bytes that this user may still write there; `place` may yet have to be made."""
    return shutil.disk_usage(_there(place)).free


def disks(*places: Path) -> dict[str, int]:
    """Place -> free bytes, of every disk once."""
    first = {_there(place).stat().st_dev: place for place in reversed(places)}
    return {str(place): free(place) for place in places if place in first.values()}


def _there(place: Path) -> Path:
    return place if place.exists() else _there(place.parent)


def boot() -> str:
    """Differs after every start of the machine; empty where the kernel has no such thing."""
    return _text(Path("/proc/sys/kernel/random/boot_id"))


def _folders() -> Iterator[Path]:
    """The memory cgroup of this process and those above it, its own first."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, kinds, path = line.split(":", 2)
        top = GROUPS if not kinds else GROUPS / "memory"
        if kinds not in ("", "memory") or not (top / "cgroup.procs").exists():
            continue
        # Inside a container the path is the host's, and the container's own group is the top.
        own = top / path.strip("/")
        own = own if own.is_dir() else top
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _limited() -> list[tuple[Path, int]]:
    found = []
    for folder in _folders():
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit and limit < UNLIMITED:
            found.append((folder, limit))
    return found


def _used(folder: Path) -> int:
    """Without what the kernel gives back when asked: files that it keeps in memory."""
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
    kept = _pairs(folder / "memory.stat")
    return max(used - kept.get("total_inactive_file", kept.get("inactive_file", 0)), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _pairs(path: Path) -> dict[str, int]:
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
