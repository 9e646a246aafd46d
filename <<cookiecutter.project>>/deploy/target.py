"""What a place that runs releases has to offer, whatever it is made of.

An environment is `staging` or `production`. A release is a package as `package` built it, named by its digest. At most
two releases run in an environment: the present one, and, while it is replaced, the candidate beside it.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol, Self

import yaml

from deploy.counts import Counts
from deploy.store import Store

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("staging", "production")
TARGETS = ("process", "compose", "kubernetes")


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
    """What an environment was last given, and how it does: `alive` processes are there, `ready` it answers.

    `candidate` is the release that is being moved to, with the percent of the requests that it gets.
    """

    release: Release
    since: str
    by: str
    alive: bool
    ready: bool
    restarts: int = 0
    candidate: Release | None = None
    share: float = 0


class Target(Protocol):
    """A kind of place. Each method may raise Unjudged where the place itself cannot be reached.

    Everything that an environment is, and `store` holds, lies at the place itself: any machine that reaches it may call
    the next word. Every method can be called again after a caller who was killed in the middle of it.
    """

    store: Store

    def address(self, environment: str) -> str:
        """The base address of the service, such as http://127.0.0.1:3000."""

    def add(self, package: Path) -> Release:
        """Take the package that this package.json describes; raises Bad if its content is not its digest."""

    def kept(self, release: Release) -> bool:
        """Whether the release can still be started."""

    def forget_others(self, releases: Collection[Release]) -> None:
        """Remove what is kept of every other release."""

    def begin(self, environment: str, release: Release) -> None:
        """Bring the release up as the candidate, beside what runs, out of the callers' reach; return when it is ready.

        Raises Bad if it is not ready within `release.ready_s`: nothing of it is left, and what ran before runs on.
        """

    def share(self, environment: str, percent: float) -> float:
        """Send so many percent of new connections to the candidate; returns what it really gets, as near as can be."""

    def counts(self, environment: str) -> tuple[Counts, Counts]:
        """What candidate and present release have answered since each was started."""

    def finish(self, environment: str) -> None:
        """Make the candidate the present release, which alone answers; the former one finishes what it has accepted."""

    def settle(self, environment: str) -> None:
        """Send everything to the present release again and end the candidate, if there is one, whoever has begun it."""

    def running(self, environment: str) -> Running | None:
        """What runs, brought back if its keeper died; None where nothing was ever started."""

    def stop(self, environment: str, forget: bool = False) -> bool:
        """End every process; whether there was one. With `forget` the environment is as if never used."""

    def logs(self, environment: str) -> str:
        """How to read the logs: a path or a command."""


def start(place: Target, environment: str, release: Release) -> None:
    """Run the release in place of what runs, at once and without a failed request; raises Bad as `begin` does."""
    place.begin(environment, release)
    place.finish(environment)


def settings() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy" / "settings.yaml").read_text())


def release_limits(root: Path = ROOT) -> dict[str, Any]:
    """`release` of gates.yaml: how long a release may take, and what is asked of it while it comes in."""
    return yaml.safe_load((root / "gates.yaml").read_text())["release"]


def port_of(environment: str, own: Mapping[str, int]) -> int:
    """The environment's port on its host: its variable, else that of the target's own settings."""
    return int(os.environ.get(f"{environment.upper()}_PORT") or own[environment])
