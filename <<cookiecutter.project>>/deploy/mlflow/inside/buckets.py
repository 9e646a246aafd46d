"""The store's two buckets: what is in them, out of them into a backup, and back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import papers
from botocore.exceptions import ClientError
from shelves import CHUNK, Shelf, absent, parts

BUCKETS = ("mlflow", "dvc")


def store() -> Any:
    return boto3.client("s3", endpoint_url="http://seaweedfs:8333")


def listed() -> Iterator[dict[str, Any]]:
    """Every object as a line of a backup, without its hash."""
    at = store()
    for bucket in BUCKETS:
        for page in at.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                yield {
                    "bucket": bucket,
                    "key": item["Key"],
                    "bytes": item["Size"],
                    "etag": item["ETag"],
                    "modified": item["LastModified"].isoformat(),
                }


def same(line: dict[str, Any]) -> tuple[Any, ...]:
    """What an object is known by from one backup to the next."""
    return tuple(line[name] for name in ("bucket", "key", "bytes", "etag", "modified"))


def copy(line: dict[str, Any], to: Shelf, work: Path) -> dict[str, Any] | None:
    """Copy one object and read it back: its whole line, or None where it was removed meanwhile."""
    try:
        found = store().get_object(Bucket=line["bucket"], Key=line["key"])
    except ClientError as error:
        if absent(error):
            return None
        raise
    partial = work / "object"
    with partial.open("wb") as file:
        for part in found["Body"].iter_chunks(CHUNK):
            file.write(part)
    with partial.open("rb") as file:
        sha256, size = papers.hashed(parts(file))
    to.take(partial, papers.content(sha256))
    papers.same(to, papers.content(sha256), sha256, size)
    return line | {"sha256": sha256, "bytes": size, "type": found.get("ContentType", "")}


def put(line: dict[str, Any], there: Shelf, work: Path) -> bool:
    """Put an object back; whether it had to be, for it may be there still."""
    at, where = store(), {"Bucket": line["bucket"], "Key": line["key"]}
    try:
        now = at.head_object(**where)
        if (now["ContentLength"], now["ETag"]) == (line["bytes"], line["etag"]):
            return False
    except ClientError as error:
        if not absent(error):
            raise
    partial = work / "object"
    with partial.open("wb") as file:
        file.writelines(there.read(papers.content(line["sha256"])))
    at.upload_file(str(partial), line["bucket"], line["key"], ExtraArgs={"ContentType": line["type"]})
    partial.unlink()
    return True
