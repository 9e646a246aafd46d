"""What the tests of the target `compose` need of a real engine: projects and images of their own, removed at the end.

The proxy's image is settings.yaml's, or PROXY_IMAGE; where it can be had from nowhere, Debian's haproxy upon the base
of the service's image.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deployments import package, ports

from deploy.compose.place import Compose
from deploy.target import ENVIRONMENTS, settings

BASE = os.environ.get("IMAGE_BASE") or "python:<< cookiecutter.python >>-slim"
STAND_IN = f"""FROM {BASE}
WORKDIR /app
COPY service /app/service
COPY behaviour.json /app/
USER 65532:65532
CMD ["python", "-m", "service"]
LABEL bento.digest="""
HAPROXY = f"""FROM {BASE}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends haproxy
"""
NAMED = "compose-test"


def docker(*words: str, given: str = "") -> str:
    return subprocess.run(["docker", *words], input=given, capture_output=True, text=True, check=True).stdout.strip()


def has(*words: str) -> bool:
    try:
        return subprocess.run(["docker", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def available(image: str) -> bool:
    """Whether the engine has this image, or gets it."""
    return has("image", "inspect", image) or has("pull", "--quiet", image)


def proxy() -> str:
    """An image with haproxy; skips the test where there is no engine, or no such image."""
    if not has("version"):
        pytest.skip("no Docker engine answers")
    wanted, own = os.environ.get("PROXY_IMAGE") or settings()["compose"]["proxy"], f"{NAMED}-haproxy"
    if has("image", "inspect", own):
        return own
    if available(wanted):
        return wanted
    try:
        docker("build", "--quiet", "--tag", own, "-", given=HAPROXY)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"there is no image with haproxy: {error.stderr.strip().splitlines()[-1]}")
    return own


def imaged(folder: Path, number: str, **behaviour: object) -> Path:
    """A package.json with an image of the stand-in in this engine; see `package`."""
    written = package(folder, number, **behaviour)
    described = json.loads(written.read_text())
    source = Path(described["path"]) / "src"
    project = os.environ["COMPOSE_PROJECT_NAME"]
    recipe = f"{STAND_IN}{described['digest']} test={project}\n"  # or two tests at once share an image
    tag = f"{project}:{described['digest'].removeprefix('sha256:')[:12]}"
    image = docker("build", "--quiet", "--tag", tag, "--file", "-", str(source), given=recipe)
    written.write_text(json.dumps(described | {"image": image}))
    return written


@contextmanager
def host(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Compose]:
    """The target with compose projects, ports and a folder of its own; everything of it is removed at the end."""
    patch.setenv("PROXY_IMAGE", proxy())
    patch.setenv("DEPLOYMENTS", str(folder / "deployments"))
    patch.setenv("COMPOSE_PROJECT_NAME", f"{NAMED}-{uuid.uuid4().hex[:6]}")
    ports(patch)
    place = Compose()
    try:
        yield place
    finally:
        for environment in ENVIRONMENTS:
            mine = ("--filter", f"label=com.docker.compose.project={place.wanted.project(environment)}")
            for what, every in (("container", ["--all"]), ("network", []), ("volume", [])):
                words = ["--force"] if what == "container" else []
                found = docker(what, "ls", "--quiet", *every, *mine).split()
                if found:
                    docker(what, "rm", *words, *found)
        tags = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", place.wanted.project()).split()
        if tags:
            docker("image", "rm", "--force", *tags)
