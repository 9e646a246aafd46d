"""What a backup says of itself, and whether it is so.

    NAME/manifest.json   what the backup holds, with hashes; written last: without it there is no backup
    NAME/mlflow.dump     the database, by pg_dump in its custom format
    NAME/objects.jsonl   one line for each object of each bucket
    objects/ab/abcd…     contents by SHA-256, shared by all backups: what did not change is kept once
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shelves import Shelf

MANIFEST, DUMP, OBJECTS = "manifest.json", "mlflow.dump", "objects.jsonl"


class Torn(Exception):
    """The backup is not what its manifest says; the message names the part."""


def hashed(parts: Iterable[bytes]) -> tuple[str, int]:
    """SHA-256 and length."""
    found, size = hashlib.sha256(), 0
    for part in parts:
        found.update(part)
        size += len(part)
    return found.hexdigest(), size


def content(sha256: str) -> str:
    """The name of the file with this content."""
    return f"objects/{sha256[:2]}/{sha256}"


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest | {"seal": _seal(manifest)}


def _seal(manifest: dict[str, Any]) -> str:
    said = {name: value for name, value in manifest.items() if name != "seal"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def backups(shelf: Shelf) -> list[str]:
    """The names of the complete backups, the oldest first."""
    return [name for name in shelf.folders() if name != "objects" and shelf.size(f"{name}/{MANIFEST}") is not None]


def manifest(shelf: Shelf, name: str) -> dict[str, Any]:
    """Raises Torn where it is not as it was written."""
    try:
        found = json.loads(b"".join(shelf.read(f"{name}/{MANIFEST}")))
        whole = found["seal"] == _seal(found)
    except (ValueError, KeyError, TypeError) as error:
        raise Torn(f"{MANIFEST} cannot be read") from error
    if not whole:
        raise Torn(f"{MANIFEST} was changed after it was written")
    return found


def objects(shelf: Shelf, name: str) -> Iterator[dict[str, Any]]:
    """The lines of objects.jsonl: bucket, key, bytes, sha256, etag, modified, type."""
    rest = b""
    for part in shelf.read(f"{name}/{OBJECTS}"):
        *lines, rest = (rest + part).split(b"\n")
        yield from map(json.loads, lines)


def prove(shelf: Shelf, name: str) -> dict[str, Any]:
    """Read everything that the backup holds and return its manifest; raises Torn at the first part that differs."""
    said = manifest(shelf, name)
    for file, of in said["files"].items():
        same(shelf, f"{name}/{file}", of["sha256"], of["bytes"])
    seen = set()
    for line in objects(shelf, name):
        if line["sha256"] not in seen:
            seen.add(line["sha256"])
            same(shelf, content(line["sha256"]), line["sha256"], line["bytes"])
    return said


def same(shelf: Shelf, name: str, sha256: str, size: int) -> None:
    try:
        found, length = hashed(shelf.read(name))
    except FileNotFoundError as error:
        raise Torn(f"{name} is missing") from error
    if length != size:
        raise Torn(f"{name} has {length} of {size} bytes")
    if found != sha256:
        raise Torn(f"{name} has other content than was written")


def write(shelf: Shelf, work: Path, name: str, text: str) -> dict[str, Any]:
    """Keep a text as the file `name` and return its hash and length."""
    partial = work / "text"
    partial.write_text(text)
    found = hashed([text.encode()])
    shelf.take(partial, name)
    return {"sha256": found[0], "bytes": found[1]}


def prune(shelf: Shelf, keep: int) -> list[str]:
    """Remove all but the newest `keep` backups, what was never completed, and contents that no backup names.

    Returns the names of the backups that went. Nothing else may write here meanwhile.
    """
    complete = backups(shelf)
    kept = complete[-keep:]
    for name in shelf.folders():
        if name not in (*kept, "objects"):
            shelf.remove(f"{name}/{MANIFEST}")  # first: what remains when this is interrupted is no backup
            for file in list(shelf.names(f"{name}/")):
                shelf.remove(file)
    named = {content(line["sha256"]) for name in kept for line in objects(shelf, name)}
    for file in list(shelf.names("objects/")):
        if file not in named:
            shelf.remove(file)
    return [name for name in complete if name not in kept]
