"""`objects.py look | backup NAME | check [NAME] | ready NAME | restore NAME | empty | swap`: the steps of the words.

Answers with one line of JSON; a failure has `what` and `remedy`, and the exit code of every word: 1 bad, 2 unjudged.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import buckets
import database
import papers
import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from shelves import parts, shelf

WORK = Path("/backups/work")  # of the disk that dumps are written to
RESTORE = WORK / "restore"
DAY_S = 86400


class Failure(Exception):
    def __init__(self, code: int, what: str, remedy: str) -> None:
        super().__init__(what)
        self.code, self.remedy = code, remedy


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else writes or removes backups while the block runs."""
    with open("/backups/lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure(2, "another backup or restore is at work", "Wait for its end, then call again.") from error
        yield


def backup(name: str) -> dict[str, Any]:
    """Copy what both buckets hold, and take the dump that was written for this name before.

    The database is dumped first and the objects are copied after: a client uploads an artifact before it registers it,
    so every object that the dump names is there to be copied. What came after the dump is copied too, and harmless.
    """
    to, work = shelf(), WORK / name
    with alone():
        known = {}
        for before in papers.backups(to)[-1:]:
            known = {buckets.same(line): line for line in papers.objects(to, before)}
        lines, new = [], 0
        for line in buckets.listed():
            old = known.get(buckets.same(line))
            if old and to.size(papers.content(old["sha256"])) == line["bytes"]:
                lines.append(old)
            elif copied := buckets.copy(line, to, work):
                lines.append(copied)
                new += 1
        with (work / papers.DUMP).open("rb") as file:
            sha256, size = papers.hashed(parts(file))
        to.take(work / papers.DUMP, f"{name}/{papers.DUMP}")
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        files = {
            papers.DUMP: {"sha256": sha256, "bytes": size},
            papers.OBJECTS: papers.write(to, work, f"{name}/{papers.OBJECTS}", text),
        }
        for file, of in files.items():
            papers.same(to, f"{name}/{file}", of["sha256"], of["bytes"])
        said = {
            "name": name,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "mlflow": version("mlflow"),
            "schemas": database.schemas(),
            "rows": database.held(),
            "objects": len(lines),
            "bytes": sum(line["bytes"] for line in lines) + size,
            "files": files,
        }
        papers.write(to, work, f"{name}/{papers.MANIFEST}", json.dumps(papers.sealed(said), indent=2))
        for left in WORK.iterdir():  # of this backup, and of those that were interrupted
            if left == work or time.time() - left.stat().st_mtime > DAY_S:
                shutil.rmtree(left)
        gone = papers.prune(to, int(os.environ["BACKUPS_KEEP"]))
    return said | {"new": new, "gone": gone}


def check(name: str = "") -> dict[str, Any]:
    """Read the whole backup, by default the newest."""
    there = shelf()
    every = papers.backups(there)
    if not every:
        raise Failure(2, "there is no backup", "Make one: python3 -m deploy.mlflow backup")
    name = name or every[-1]
    if name not in every:
        raise Failure(2, f"there is no backup {name}", f"There are: {', '.join(every)}.")
    try:
        said = papers.prove(there, name)
    except papers.Torn as error:
        others = ", ".join(other for other in every if other != name) or "there is none"
        raise Failure(1, f"the backup {name} is torn: {error}", f"Nothing was touched. Others: {others}.") from error
    if not database.known(said["schemas"]):
        what = f"the backup {name} is of a newer MLflow than this one, {version('mlflow')}"
        raise Failure(2, what, f"Restore it from a checkout like the one that made it, with MLflow {said['mlflow']}.")
    return said


def ready(name: str) -> dict[str, Any]:
    """Put the dump where pg_restore reads it."""
    shutil.rmtree(RESTORE, ignore_errors=True)
    RESTORE.mkdir()
    with (RESTORE / papers.DUMP).open("wb") as file:
        file.writelines(shelf().read(f"{name}/{papers.DUMP}"))
    return {}


def restore(name: str) -> dict[str, Any]:
    """Put every object of the backup into its bucket, where it is not there already; removes none."""
    there = shelf()
    with alone():
        return {"put": sum(buckets.put(line, there, RESTORE) for line in papers.objects(there, name))}


def empty() -> dict[str, Any]:
    database.empty()
    return {}


def swap() -> dict[str, Any]:
    database.swap()
    shutil.rmtree(RESTORE)
    return {}


def look() -> dict[str, Any]:
    """How full the disks are, which backups there are, and how many rows the database holds."""
    disks = {}
    for path in (*Path("/volumes").iterdir(), Path("/backups")):
        usage = shutil.disk_usage(path)
        disks[path.name] = {"used": usage.used, "free": usage.free}
    found: dict[str, Any] = {"disks": disks, "mlflow": version("mlflow"), "backups": [], "rows": {}, "failed": []}
    try:
        there = shelf()
        for name in papers.backups(there):
            try:
                found["backups"].append(papers.manifest(there, name))
            except papers.Torn as error:
                found["failed"].append(f"the backup {name} is torn: {error}")
    except (OSError, ClientError, BotoCoreError) as error:
        found["failed"].append(f"the backups cannot be read: {error}")
    try:
        found["rows"] = database.held()
    except psycopg2.Error as error:
        found["failed"].append(f"the database does not answer: {str(error).splitlines()[0]}")
    return found


def main(word: str, *given: str) -> int:
    words = (look, backup, check, ready, restore, empty, swap)
    try:
        answer, code = {step.__name__: step for step in words}[word](*given), 0
    except Failure as failure:
        answer, code = {"what": str(failure), "remedy": failure.remedy}, failure.code
    except (OSError, ClientError, BotoCoreError, psycopg2.Error, papers.Torn) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        answer, code = {"what": f"{word}: {lines[0]}", "remedy": "docs/mlflow.md, 'What breaks'."}, 2
    print(json.dumps(answer))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
