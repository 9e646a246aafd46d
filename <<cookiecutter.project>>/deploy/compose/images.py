"""The images that an environment has run, on the host: fetched by digest, kept under a name of their own, forgotten.

The name, such as flight-delays:deployed-0123456789ab, keeps `docker image prune` away from what a rollback needs.
"""

import sys
from collections.abc import Collection

from deploy.compose.host import Host
from deploy.containers import names
from deploy.containers.engine import Failed, explained, patiently
from deploy.containers.registry import Registry
from deploy.target import Release
from << cookiecutter.__package >>.outcome import Bad, Unjudged

MARK = "deployed-"


class Images:
    """Those of one project on one host."""

    def __init__(self, host: Host, project: str) -> None:
        self.host, self.project = host, project

    def kept(self, release: Release) -> bool:
        """Whether the host has it, or its registry; raises Unjudged where neither can be told."""
        if self.host.image(release.image):
            return True
        name, _, digest = release.image.partition("@")
        return bool(digest) and Registry(name).digest(digest) is not None

    def fetch(self, release: Release) -> None:
        """Have the release's image on the host; raises Unjudged where it cannot be had, Bad where it is nowhere."""
        image = release.image
        if not self.host.image(image):
            name, _, digest = image.partition("@")
            if not digest:
                remedy = "Set IMAGE_REGISTRY and call package again, or call it with the engine of this host."
                raise Unjudged(f"the image of {release} is not on the host, and in no registry", remedy)
            if Registry(name).digest(digest) is None:
                raise Bad(f"the image {image} is not in its registry", "Call `make package` again.")
            print(f"deploy: {image} is fetched", file=sys.stderr)
            with names.login(image) as login:
                pull = ("pull", "--quiet", image)
                patiently(f"the pull of {image}", lambda: self.host.run(*pull, settings=login, timeout_s=900))
        try:
            self.host.run("tag", image, self.tag(release))
        except Failed as error:
            raise explained(f"{image} could not be named", error) from error

    def tag(self, release: Release) -> str:
        return f"{self.project}:{MARK}{release.digest.removeprefix('sha256:')[:12]}"

    def forget_others(self, wanted: Collection[Release]) -> None:
        """Remove what `fetch` has brought and nobody wants any more; an image in use stays until the next call."""
        words = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", self.project)
        known = self.host.do("listing images", *words).split()
        for tag in sorted(set(known) - set(map(self.tag, wanted))):
            found = self.host.image(tag) if tag.startswith(f"{self.project}:{MARK}") else None
            if not found:
                continue
            others = [name for name in found["RepoTags"] if MARK in name and name != tag]
            for name in [tag] if others else [*found["RepoTags"], *found["RepoDigests"]]:
                try:
                    self.host.run("image", "rm", name)
                except Failed as error:
                    if "no such image" in error.said.lower():  # it went with the name before
                        continue
                    print(f"deploy: {name} stays on the host: {error}", file=sys.stderr)
                    break
