"""Which images are garbage: by count and age, never one that an environment runs or could go back to."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ci import registry as models
from deploy.chosen import target
from deploy.containers import names
from deploy.containers.registry import Registry
from deploy.history import History
from deploy.target import ENVIRONMENTS
from << cookiecutter.__package >>.outcome import Unjudged

COMMIT = re.compile(r"([0-9a-f]{40})(-[a-z0-9-]+)?")  # a commit, and what sets its image apart: a platform's, dirty
PAPERS = re.compile(r"sha256-([0-9a-f]{64})(\.[a-z]+)?")  # cosign's names for what belongs to a digest
FOUNDATION = "image.foundation"  # the label that names an image's foundation


@dataclass(frozen=True)
class Image:
    """An image of this project: its digest, its tag, when its commit was made, and the tag that it was built upon."""

    digest: str
    tag: str
    made: datetime
    foundation: str

    @property
    def commit(self) -> str:
        return self.tag[:40]


def sweep(gate: Mapping[str, Any], former: int) -> list[str]:
    """Remove garbage from the project's registry; returns the tags that are gone. `former` releases stay for rollback.

    Raises Unjudged where it is not known what runs, or where the registry does not let anybody remove.
    """
    name = names.repository()
    if not name:
        raise Unjudged("there is no registry to sweep", "Set IMAGE_REGISTRY.")
    at, used = Registry(name), in_use(former)
    tags = at.tags()
    images = [found for tag in tags if COMMIT.fullmatch(tag) and (found := described(at, tag))]
    going = garbage(images, used, gate["count"], gate["days"], datetime.now(UTC))
    staying = {image.foundation for image in images if image not in going}
    gone = {image.digest: image.tag for image in going}
    gone |= {at.digest(tag): tag for tag in tags if tag.startswith("foundation-") and tag not in staying}
    gone |= {at.digest(tag): tag for tag in tags if (of := PAPERS.fullmatch(tag)) and f"sha256:{of[1]}" in gone}
    for digest in filter(None, gone):
        at.remove(digest)
    return sorted(gone.values())


def garbage(images: Collection[Image], used: Collection[str], count: int, days: int, now: datetime) -> list[Image]:
    """The images that may go: not of the `count` newest commits, older than `days`, and of no commit that is in `used`.

    A commit stays with all its images: those of several platforms are what the one that joins them is made of.
    """
    made = {image.commit: image.made for image in images}
    newest = set(sorted(made, key=made.__getitem__, reverse=True)[:count])
    recent = {commit for commit, at in made.items() if at > now - timedelta(days=days)}
    staying = newest | recent | {image.commit for image in images if image.digest in used}
    digests = {image.digest for image in images if image.commit in staying}
    return [image for image in images if image.digest not in digests]


def in_use(former: int) -> set[str]:
    """The digests of the images that run, or that production could go back to.

    From what runs, and from the registry of models, which has the record of production: both must be readable, or an
    image that runs elsewhere would be taken for garbage.
    """
    place = target()
    running = [found.release for environment in ENVIRONMENTS if (found := place.running(environment))]
    if not running:
        what = "it is not known here what runs: this machine has deployed nothing"
        raise Unjudged(what, "Sweep where deploy and promote are called, with the same settings.")
    images = [release.image for release in [*running, *History(place.store).needed(former)]]
    at = models.client()
    where = models.experiment(at, models.DEPLOYMENTS)
    done = at.search_runs([where], "tags.outcome = 'done'", order_by=["attributes.start_time DESC"], max_results=1000)
    line = list(dict.fromkeys(run.data.tags.get("image", "") for run in done))
    images += line[: former + 1]
    return {image.partition("@")[2] for image in images if image}


def described(at: Registry, tag: str) -> Image | None:
    settings, digest = at.settings(tag), at.digest(tag)
    if not settings or not digest:
        return None
    labels = settings["config"].get("Labels") or {}
    made = labels.get("org.opencontainers.image.created") or settings["created"]
    return Image(digest, tag, datetime.fromisoformat(made), labels.get(FOUNDATION, ""))
