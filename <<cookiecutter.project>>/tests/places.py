"""Every kind of place for the tests that hold for all of them: `everywhere`, and the fixtures `place` and `brought`.

A kind whose engine or cluster is not here is skipped with the reason.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deployments import package, ports

from deploy.target import ENVIRONMENTS, TARGETS, Release, Target

everywhere = pytest.mark.parametrize("kind", TARGETS, indirect=True)
Bring = Callable[..., Release]


@contextmanager
def process(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The target `process` with a folder and ports of its own, stopped at the end."""
    from deploy.process.place import Process

    patch.setenv("DEPLOYMENTS", str(folder / "deployments"))
    ports(patch)
    place = Process()
    try:
        yield place
    finally:
        for environment in ENVIRONMENTS:
            place.stop(environment)


@contextmanager
def kubernetes(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The target `kubernetes` with namespaces of its own and the rights of a pipeline; both are removed at the end."""
    import clusters

    from deploy.kubernetes import manifests
    from deploy.kubernetes.place import Kubernetes

    if clusters.LACKING:
        pytest.skip(clusters.LACKING)
    spaces = clusters.namespaces(folder / "kubernetes")
    try:
        patch.setattr(manifests, "HERE", folder / "kubernetes")
        patch.setenv("DEPLOYMENTS", str(folder / "deployments"))
        patch.setenv("KUBECTL", clusters.command(*spaces.values()))
        for environment, namespace in spaces.items():
            patch.setenv(f"{environment.upper()}_URL", clusters.address(namespace))
        yield Kubernetes()
    finally:
        clusters.admin("delete", "namespace", "--wait=false", *spaces.values())


@contextmanager
def made(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Target]:
    """A place of this kind for one test; `target()` is the same one."""
    patch.setenv("DEPLOY_TARGET", kind)
    if kind == "compose":
        from hosts import host

        with host(folder, patch) as place:
            yield place
    else:
        with {"process": process, "kubernetes": kubernetes}[kind](folder, patch) as place:
            yield place


def bringing(kind: str, place: Target, folder: Path) -> Bring:
    """A function that brings a version of the stand-in, with some behaviour, to the place, and returns the release."""
    if kind == "compose":
        from hosts import imaged as packaged
    elif kind == "kubernetes":
        from clusters import imaged as packaged
    else:
        packaged = package
    return lambda number, **behaviour: place.add(packaged(folder, number, **behaviour))
