"""The whole way of an image: foundation, service, judgement, registry, signatures."""

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ci.environment import ROOT
from ci.image import build, cosign, judge, papers
from ci.image.sweep import FOUNDATION
from ci.image.trust import claims
from deploy.containers import names
from deploy.containers.engine import Engine, Failed, engine, explained, patiently
from deploy.containers.registry import Registry
from deploy.store import write
from << cookiecutter.__package >>.outcome import Bad, Unjudged

PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Made:
    """An image as everything after `package` calls it, and what was found in it; its base, for the provenance."""

    name: str  # repository@digest, or the engine's own sha256:… where there is no registry
    facts: judge.Facts
    base: build.Base


def wanted(local: bool) -> Engine | None:
    """The engine that builds; None, and a line that says why, where no image is asked for.

    Raises Unjudged where one is asked for and no engine answers.
    """
    if not (names.repository() or local):
        print("package: no image is asked for: IMAGE_REGISTRY is not set (docs/image.md)")
        return None
    found = engine()
    if not found:
        remedy = "Start Docker or podman here, or call it without IMAGE_REGISTRY and --image for the Bento alone."
        raise Unjudged("an image is asked for, and no container engine answers", remedy)
    return found


def image(by: Engine, package: dict[str, Any], bento: Path, gates: Mapping[str, Any]) -> Made:
    """Build, judge, push and sign the image of the package in `package` (its package.json, without the image)."""
    try:
        return _image(by, package, bento, gates)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Unjudged(f"the image could not be made: the disk of {error.filename or 'this machine'} is full",
                       "Make room, or set TMPDIR to a larger disk, then call again.") from error  # fmt: skip


def _image(by: Engine, package: dict[str, Any], bento: Path, gates: Mapping[str, Any]) -> Made:
    repository, gate = names.repository(), gates["image"]
    name, at = repository or names.PROJECT, build.committed(package["git_sha"])
    platforms = os.environ.get("IMAGE_PLATFORMS", "").replace(",", " ").split() or [""]
    if len(platforms) > 1 and not (repository and by.name == "docker"):
        raise Unjudged("an image for several platforms needs Docker and a registry", "Set IMAGE_REGISTRY, use Docker.")
    with names.login(name) as login:
        if repository:
            Registry(name).reach()
        logged_in = replace(by, settings={**by.settings, **login})
        signer = cosign.signer(gate["signed"], logged_in.settings)
        base, digests, found = build.base(logged_in), [], {}
        for platform in platforms:
            tag = f"{name}:{package['git_sha']}" + (f"-{platform.replace('/', '-')}" if len(platforms) > 1 else "")
            upon = foundation(logged_in, name, bento, base, platform, gate["signed"], signer)
            labels = labelled(package, base, upon, at)
            build.service(logged_in, tag, bento, upon, platform, labels, at)
            found = judge.facts(logged_in, tag, gate, gates["release"]["ready_s"])
            judge.judge(tag, found, gate)
            digests.append(push(logged_in, tag) if repository else identity(logged_in, tag))
        digest = digests[0] if len(digests) == 1 else joined(logged_in, f"{name}:{package['git_sha']}", digests)
        made = Made(f"{name}@{digest}" if repository else digest, found, base)
        if repository and signer:
            vouch(signer, made, package, bento, gate["licence_of"], at)
    return made


def foundation(
    by: Engine, name: str, bento: Path, base: build.Base, platform: str,
    signed: cosign.Signed, signer: cosign.Signer | None,
) -> str:  # fmt: skip
    """The image to build upon: the engine's, the registry's where its signature is good, or a new one, pushed."""
    tag = build.foundation_tag(name, bento, base, platform)
    if by.has("image", "inspect", tag):
        return tag
    registry, whose = names.repository() and Registry(name), cosign.verifier(signed, by.settings)
    digest = registry and registry.digest(tag.rpartition(":")[2])
    if digest:
        try:
            if whose:
                whose.image(f"{name}@{digest}", {"foundation": tag})
            patiently(f"the pull of {tag}", lambda: by.run("pull", "--quiet", f"{name}@{digest}"))
            by.run("tag", f"{name}@{digest}", tag)
            return tag
        except Bad as unknown:
            print(f"package: {unknown.what}: built anew")
    build.foundation(by, tag, bento, base, platform)
    if registry:
        digest = push(by, tag)
        if signer:
            signer.image(f"{name}@{digest}", {"foundation": tag})
    return tag


def labelled(package: dict[str, Any], base: build.Base, upon: str, at: str) -> dict[str, str]:
    opencontainers = {
        "title": names.PROJECT,
        "created": papers.moment(at),
        "source": papers.source(),
        "base.name": base.name.partition("@")[0],
        "base.digest": base.identity,
    }
    known = {f"org.opencontainers.image.{key}": value for key, value in opencontainers.items() if value}
    return known | claims(package) | {FOUNDATION: upon.rpartition(":")[2]}


def push(by: Engine, tag: str) -> str:
    """Push the tag and return the digest that the registry knows it by."""
    digest = PUSHED.findall(patiently(f"the push of {tag}", lambda: by.run("push", tag, timeout_s=900, loud=True)))
    if not digest:
        digest = [Registry(tag).digest(tag.rpartition(":")[2])]
    if not digest[-1]:
        raise Unjudged(f"{tag} was pushed, and the registry does not know it", "Call again; see the registry's log.")
    return digest[-1]


def identity(by: Engine, tag: str) -> str:
    found = by.run("image", "inspect", "--format", "{{.Id}}", tag).strip()
    return found if found.startswith("sha256:") else f"sha256:{found}"


def joined(by: Engine, tag: str, digests: list[str]) -> str:
    """One name for the images of several platforms."""
    each = [f"{tag.rpartition(':')[0]}@{digest}" for digest in digests]
    try:
        by.run("buildx", "imagetools", "create", "--tag", tag, *each)
    except Failed as error:
        raise explained(f"the platforms could not be joined as {tag}", error) from error
    digest = Registry(tag).digest(tag.rpartition(":")[2])
    if not digest:
        raise Unjudged(f"the registry does not know {tag}", "Call again; see the registry's log.")
    return digest


def vouch(
    signer: cosign.Signer, made: Made, package: dict[str, Any], bento: Path, known: Mapping[str, str], at: str
) -> None:
    """Sign the image as what it is, and attest what is in it and where it is from."""
    signer.image(made.name, claims(package))
    bill = papers.materials(made.facts, package, known, at)
    origin = papers.provenance(package, (made.base.name, made.base.identity), bento, at)
    for kind, name, paper in (("cyclonedx", "sbom.json", bill), ("slsaprovenance1", "provenance.json", origin)):
        write(ROOT / "build" / name, paper)
        signer.statement(made.name, kind, ROOT / "build" / name)


def told(made: Made) -> str:
    mb, memory = made.facts["mb"], made.facts["memory_mb"]
    return f"package: {made.name}, {mb:.0f} MB, {memory:.0f} MB of memory, {len(made.facts['packages'])} packages"
