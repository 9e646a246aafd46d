"""Backup and restore, step by step; docs/mlflow.md says why in this order."""

from datetime import UTC, datetime
from typing import Any

from deploy.containers.engine import Failed, explained
from deploy.mlflow.stack import Stack, start
from << cookiecutter.__package >>.outcome import Unjudged

DUMP = """
mkdir /backups/work/{name}
cd /backups/work/{name}
pg_dump --no-password --format=custom --file=mlflow.dump
pg_restore --file=/dev/null mlflow.dump  # decodes every part of it
"""
RESTORE = """
cd /backups/work/restore
exec pg_restore --no-password --dbname=mlflow_restored --no-owner --no-privileges --exit-on-error \\
  --single-transaction mlflow.dump
"""


def step(on: Stack, *words: str) -> dict[str, Any]:
    return on.asked("objects", "python", "/app/objects.py", *words)


def backup(on: Stack) -> dict[str, Any]:
    """Dump the database, copy both buckets, read everything back, and let go of what is too old; returns what was made.

    The server goes on working.
    """
    name = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    try:
        on.word("dump", DUMP.format(name=name))
    except Failed as error:
        raise explained("the database could not be dumped", error) from error
    return step(on, "backup", name)


def check(on: Stack, name: str) -> dict[str, Any]:
    """Read a whole backup, by default the newest; raises Bad where anything in it is not as it was written."""
    return step(on, "check", *([name] if name else []))


def restore(on: Stack, name: str, replace: bool) -> dict[str, Any]:
    """Put a backup in the place of what is there; returns what it holds.

    Raises Bad where it is torn and Unjudged where there is data and `replace` is not given: both before anything is
    touched. Objects come first, so that no row ever names one that is not there; the database changes in one step, and
    until then the one before is there to go back to.
    """
    said = check(on, name)
    there = {table: rows for table, rows in on.asked("look")["rows"].items() if rows}
    if there and not replace:
        what = "there is data already: " + ", ".join(f"{rows} {table}" for table, rows in there.items())
        raise Unjudged(what, "Restore into an empty stack, or replace it: restore --replace.")
    on.compose("stop", "mlflow")
    try:
        step(on, "ready", said["name"])
        step(on, "restore", said["name"])
        step(on, "empty")
        try:
            on.word("dump", RESTORE)
        except Failed as error:
            raise explained("the database could not be restored; the one before is untouched", error) from error
        step(on, "swap")
    finally:
        start(on)
    return said
