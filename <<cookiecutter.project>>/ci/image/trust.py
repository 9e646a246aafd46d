"""What `deploy` asks of a package before it runs anywhere: that it is whole, and signed by whom gates.yaml trusts.

The Bento's digest binds the files, the manifest binds the digests, the signature binds the manifest. Nothing is
unpickled on the way, nor in the service: a model is an ONNX graph, and its papers are JSON.
"""

import json
from pathlib import Path
from typing import Any

from ci.image import cosign
from ci.image.papers import sha256
from deploy.containers import names
from deploy.containers.engine import Failed, engine
from deploy.containers.registry import Registry
from deploy.store import read
from deploy.target import ROOT
from << cookiecutter.__package >>.outcome import Bad, Unjudged

AGAIN = "Call `make package` again and change nothing in build/."


def check(package: Path, gate: dict[str, Any]) -> str:
    """Who vouches for the package that this package.json describes, in words.

    Raises Bad where anything is not what it is said to be, Unjudged where that cannot be told.
    """
    described, papers = read(package), package.with_name("manifest.json")
    if described is None:
        raise Unjudged(f"there is no package: {package} is absent", "Call `make package` first.")
    manifest = read(papers)
    if manifest is None:
        raise Unjudged(f"the package has no manifest: {papers} is absent", "Call `make package` again.")
    with names.login(described.get("image", "")) as login:
        whose = cosign.verifier(gate["signed"], login)
        return checked(described, manifest, papers, whose)


def checked(described: dict[str, Any], manifest: dict[str, Any], papers: Path, whose: cosign.Verifier | None) -> str:
    if whose:
        whose.file(papers)
    consistent(described, manifest)
    model = sha256(ROOT / described["path"] / "src" / "models" / "model.onnx")
    if model != manifest["model"]["sha256"]:
        what = f"the model is not the one of the manifest: its sha256 is {model}, not {manifest['model']['sha256']}"
        raise Bad(what, AGAIN)
    if described.get("image"):
        image(described, whose)
    return f"signed by {whose.whose}" if whose else "unsigned: gates.yaml's `image.signed` asks for no signature"


def consistent(described: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Raises Bad unless package.json and manifest speak of the same version, model, commit, Bento and image."""
    model, code = manifest["model"], manifest["code"]
    said = (model["version"], model["md5"], code["packaged"], manifest["bento"], manifest["image"])
    for name, other in zip(("version", "model_md5", "git_sha", "digest", "image"), said, strict=True):
        if described.get(name) != other:
            differ = f"package.json says {name} {described.get(name)}, manifest.json {other}"
            raise Bad(f"the package is not of one piece: {differ}", AGAIN)


def image(described: dict[str, Any], whose: cosign.Verifier | None) -> None:
    """Raises Bad unless the named image is there, and is the image of this Bento."""
    name = described["image"]
    local = name.startswith("sha256:")  # of this machine's engine; its signature is the manifest's
    labels = here(name) if local else Registry(name).labels(name.partition("@")[2])
    if labels is None:
        what = f"the image {name} is not in {'the engine of this machine' if local else 'its registry'}"
        raise Bad(what, "It was removed, or never brought there: call `make package` again.")
    for label, value in claims(described).items():
        if labels.get(label) != value:
            raise Bad(f"the image {name} is of another package: its {label} is {labels.get(label)}, not {value}", AGAIN)
    if whose and not local:
        whose.image(name, claims(described))


def here(name: str) -> dict[str, str] | None:
    """The labels of an image of this machine's engine; None where it is not there."""
    by = engine()
    if not by:
        raise Unjudged(f"the image {name} is local, and no container engine answers", "Start the engine that built it.")
    try:
        return json.loads(by.run("image", "inspect", "--format", "{{json .Config.Labels}}", name))
    except Failed:
        return None


def claims(described: dict[str, Any]) -> dict[str, str]:
    """What an image is said to be, in its labels and in its signature."""
    return {
        "bento.digest": described["digest"],
        "model.md5": described["model_md5"],
        "org.opencontainers.image.revision": described["git_sha"],
        "org.opencontainers.image.version": described["version"],
    }
