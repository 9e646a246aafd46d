"""Where backups lie: a folder, or a bucket of an S3 store elsewhere. Both keep a file whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from botocore.exceptions import ClientError

CHUNK = 1024 * 1024


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def take(self, file: Path, name: str) -> None:
        """Make `file`, of the same disk, the shelf's file `name`; it is gone from where it was."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        file.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def read(self, name: str) -> Iterator[bytes]:
        """The content in parts; raises FileNotFoundError."""
        with (self.root / name).open("rb") as file:
            yield from parts(file)

    def size(self, name: str) -> int | None:
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def names(self, prefix: str = "") -> Iterator[str]:
        """Every file below `prefix`, a path that ends in a slash."""
        for path in sorted((self.root / prefix).rglob("*")):
            if path.is_file():
                yield str(path.relative_to(self.root))

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def remove(self, name: str) -> None:
        path = self.root / name
        path.unlink(missing_ok=True)
        if path.parent != self.root and path.parent.is_dir() and not any(path.parent.iterdir()):
            shutil.rmtree(path.parent)


class Bucket:
    def __init__(self, address: str, endpoint: str | None) -> None:
        self.bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        import boto3  # a folder needs nothing of it

        self.client = boto3.Session(profile_name="backups").client("s3", endpoint_url=endpoint or None)

    def take(self, file: Path, name: str) -> None:
        self.client.upload_file(str(file), self.bucket, self.prefix + name)
        file.unlink()

    def read(self, name: str) -> Iterator[bytes]:
        try:
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]
        except ClientError as error:
            if absent(error):
                raise FileNotFoundError(name) from error
            raise
        yield from body.iter_chunks(CHUNK)

    def size(self, name: str) -> int | None:
        try:
            return self.client.head_object(Bucket=self.bucket, Key=self.prefix + name)["ContentLength"]
        except ClientError as error:
            if absent(error):
                return None
            raise

    def names(self, prefix: str = "") -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                yield item["Key"].removeprefix(self.prefix)

    def folders(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix, Delimiter="/"
        )
        found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]
        return sorted(name.removeprefix(self.prefix).rstrip("/") for name in found)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name)


def parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(CHUNK):
        yield part


def absent(error: ClientError) -> bool:
    return error.response["ResponseMetadata"]["HTTPStatusCode"] == 404


Shelf = Folder | Bucket


def shelf() -> Shelf:
    """Where BACKUPS_TO says, by default the volume of backups."""
    address = os.environ.get("BACKUPS_TO")
    return Bucket(address, os.environ.get("BACKUPS_ENDPOINT")) if address else Folder(Path("/backups/kept"))
