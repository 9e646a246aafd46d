"""`clean`: the machine as the job found it: no process of its training, every file the runner's own, caches bounded.

CACHE_GB bounds each cache, in GiB: those of uv, of DVC, ENVIRONMENTS and CHECKPOINTS. The least recently used goes
first, and nothing that is in use. It may be called at any time.
"""

import os
from pathlib import Path

from ci.machine import caches, journal, leftovers
from << cookiecutter.__package >> import host
from << cookiecutter.__package >>.outcome import Unjudged


def main(arguments: list[str]) -> None:
    processes()
    bounded()
    workspace(Path.cwd())


def processes() -> None:
    """End what the training of this workspace has left running, unless it is still at work."""
    begun = journal.read().get("begin")
    if begun is None or journal.alive():
        return
    for told in leftovers.end(leftovers.marked(begun["run"])):
        print(f"clean: ended what the training left behind: {told}")


def bounded() -> None:
    most = float(os.environ.get("CACHE_GB") or 50) * host.GB
    for cache in caches.every():
        before, after, gone = cache.bound(most)
        kept = f"{after / host.GB:.1f} of {most / host.GB:g} GiB"
        print(f"clean: {cache.name}: {kept}{f', {(before - after) / host.GB:.1f} GiB ({gone}) gone' if gone else ''}")


def workspace(root: Path) -> None:
    """Every file belongs to the owner of the workspace; raises Unjudged where this user may not see to that."""
    paths = leftovers.foreign(root)
    left = leftovers.give_back(root, paths)
    if left:
        what = f"{left} files of the workspace belong to another user, among them {paths[0].relative_to(root)}"
        raise Unjudged(what, f"As root: chown -R {root.stat().st_uid} {root}. The job of a container runs as its root.")
    if paths:
        print(f"clean: {len(paths)} files given back to the owner of the workspace")
