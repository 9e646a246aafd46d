"""What a place that runs releases has to offer, whatever it is made of.

An environment is `staging` or `production`. A release is a package as `package` built it, named by its digest.
"""

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol, Self

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("staging", "production")


@dataclass(frozen=True)
class Release:
    """A package that can be run: the model version, the content address of the Bento, and where both come from."""

    version: str
    digest: str
    model_md5: str
    git_sha: str
    bento: str
    image: str = ""  # registry/name@digest, where one was built

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        return cls(**{field.name: str(values[field.name]) for field in fields(cls) if field.name in values})

    def __str__(self) -> str:
        return f"version {self.version} ({self.digest.removeprefix('sha256:')[:12]})"

    def dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Running:
    """What an environment was last given, and how it does: `alive` processes are there, `ready` it answers."""

    release: Release
    since: str
    by: str
    alive: bool
    ready: bool
    restarts: int = 0


class Target(Protocol):
    """A kind of place. Each method may raise Unjudged where the place itself cannot be reached."""

    def address(self, environment: str) -> str:
        """The base address of the service, such as http://127.0.0.1:3000."""

    def add(self, package: Path) -> Release:
        """Take the package that this package.json describes; raises Bad if its content is not its digest."""

    def folder(self, release: Release) -> Path:
        """The kept files of a release, package.json and rows.json among them; absent once it was forgotten."""

    def forget_others(self, releases: Collection[Release]) -> None:
        """Remove what is kept of every other release."""

    def start(self, environment: str, release: Release) -> None:
        """Run the release in place of what runs, without a failed request, and return when it alone answers.

        Raises Bad if it is not ready within `release.ready_s`; what ran before runs on.
        """

    def settle(self, environment: str) -> None:
        """Wait until a start has ended, either way, that was asked for by a caller who did not live to see it."""

    def running(self, environment: str) -> Running | None:
        """What runs, brought back if its keeper died; None where nothing was ever started."""

    def stop(self, environment: str, forget: bool = False) -> bool:
        """End every process; whether there was one. With `forget` the environment is as if never used."""

    def logs(self, environment: str) -> str:
        """How to read the logs: a path or a command."""


def state(*parts: str) -> Path:
    """A path below the folder of all that the deployments of this checkout remember: `DEPLOYMENTS`."""
    return Path(os.environ.get("DEPLOYMENTS") or ROOT / ".deployments").absolute().joinpath(*parts)


def read(path: Path) -> Any:
    """The JSON in `path`, or None where there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write(path: Path, value: Any) -> None:
    """Put JSON into `path` so that a reader, or a crash, sees either the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w") as file:
        file.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def target() -> Target:
    from deploy.process import Process

    return Process()
