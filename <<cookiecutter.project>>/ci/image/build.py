"""From a Bento to an image, by Dockerfile and assemble.py beside this file.

Two images are built: the foundation (Python and the locked packages), named by what it is made of, and the service on
top of it. A new model, or new code, over the same packages adds two small layers; a machine that has built nothing
before takes the foundation from the registry.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.containers.engine import Engine, Failed, explained
from deploy.containers.index import index
from << cookiecutter.__package >>.outcome import Unjudged

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Base:
    """The image that gives Python: `name` is what to build from, `identity` its digest in registry or engine."""

    name: str
    identity: str


def base(engine: Engine) -> Base:
    """`IMAGE_BASE`, or Debian's slim Python of this project's version: as its registry has it now, else as it is here.

    Raises Unjudged where it is in neither place.
    """
    asked = os.environ.get("IMAGE_BASE") or f"python:{(ROOT / '.python-version').read_text().strip()}-slim"
    if "@sha256:" in asked:
        return Base(asked, asked.partition("@")[2])
    try:
        if engine.name == "docker":
            found = engine.run("buildx", "imagetools", "inspect", "--raw", asked, timeout_s=60)
            digest = f"sha256:{hashlib.sha256(found.encode()).hexdigest()}"
        else:
            engine.run("pull", "--quiet", asked)
            digest = engine.run("image", "inspect", "--format", "{{.Digest}}", asked).strip()
        return Base(f"{asked}@{digest}", digest)
    except Failed as unreachable:
        try:
            identity = engine.run("image", "inspect", "--format", "{{.Id}}", asked).strip()
        except Failed:
            remedy = "Reach its registry, or set IMAGE_BASE to a mirror's name for it."
            raise Unjudged(f"the base image {asked} cannot be had: {unreachable}", remedy) from unreachable
        print(f"image: {asked} as it is here; its registry does not answer")
        return Base(asked, identity)


def foundation_tag(repository: str, bento: Path, of: Base, platform: str) -> str:
    """The name of the image with the Bento's packages: what it is made of, hashed."""
    wanted = hashlib.sha256(f"{of.identity} {platform}\n".encode())
    for path in (HERE / "Dockerfile", HERE / "assemble.py", bento / "env" / "python" / "requirements.txt"):
        wanted.update(path.read_bytes())
    return f"{repository}:foundation-{wanted.hexdigest()[:16]}"


def foundation(engine: Engine, name: str, bento: Path, of: Base, platform: str) -> None:
    """Build the image `name` with the Python of `of` and the Bento's packages."""
    _build(engine, bento, name, "foundation", platform, {"BASE": of.name}, {}, "0")


def service(
    engine: Engine, name: str, bento: Path, upon: str, platform: str, labels: Mapping[str, str], at: str
) -> None:
    """Build the image `name` upon the foundation; `at`, seconds since 1970, is all that it says of when."""
    _build(engine, bento, name, "service", platform, {"FOUNDATION": upon}, labels, at)


def _build(
    engine: Engine, bento: Path, name: str, target: str, platform: str,
    arguments: Mapping[str, str], labels: Mapping[str, str], at: str,
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        context, secrets = Path(folder, "context"), Path(folder, "secrets")
        _collect(bento, context)
        command = ["build", "--target", target, "--tag", name, "--file", str(context / "Dockerfile")]
        if engine.name == "docker":  # its own builder: another one does not see the images of the engine
            own = engine.run("context", "show").strip()
            command = ["buildx", *command, "--builder", own, "--load", "--progress", "plain"]
            command += ["--build-arg", f"SOURCE_DATE_EPOCH={at}"]
        else:
            command += ["--timestamp", at, "--format", "docker"]  # OCI's has no health check
        if platform:
            command += ["--platform", platform]
        for key, value in arguments.items():
            command += ["--build-arg", f"{key}={value}"]
        for key, value in labels.items():
            command += ["--label", f"{key}={value}"]
        for variable in filter(os.environ.get, PROXIES):
            command += ["--build-arg", variable]
        secrets.mkdir(mode=0o700)
        for secret in index(secrets):
            command += ["--secret", f"id={secret},src={secrets / secret}"]
        try:
            engine.run(*command, str(context), loud=True)
        except Failed as error:
            raise explained(f"the build of {name} failed", error) from error


def _collect(bento: Path, context: Path) -> None:
    """What the Dockerfile copies: the Bento's locked packages, its source and its model."""
    context.mkdir()
    for path in (HERE / "Dockerfile", HERE / "assemble.py", bento / "env" / "python" / "requirements.txt"):
        shutil.copyfile(path, context / path.name)
    for folder in (bento / "src").iterdir():
        if folder.is_dir():
            to = context / "models" if folder.name == "models" else context / "source" / folder.name
            shutil.copytree(folder, to, ignore=shutil.ignore_patterns("__pycache__"))


def committed(commit: str) -> str:
    """When the commit was made, in seconds since 1970: the image's time."""
    command = ["git", "show", "--no-patch", "--format=%ct", commit.removesuffix("-dirty")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
