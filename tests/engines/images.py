"""Images, where this machine can make them: a registry of the tests' own beside the engine that is there.

Where it can, releases run in containers too, behind a proxy.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from engines import services

BASE = "python:3.11-slim"
PASSWORD = "right"  # noqa: S105
PROXY = "compose-test-haproxy"
HAPROXY = f"""FROM {BASE}
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends haproxy
"""
USERS = "robot:$2b$04$PlBdCnpT3SjyhwwIXss7r.kVIlyBS3/rjhMIhu.lPL0Abv4zlKAZy\n"  # robot, with this password


def lacking(*more: str) -> str:
    """What this machine lacks to build and push an image, and of the programs `more`, in words; nothing otherwise."""
    absent = [name for name in ("docker", "docker-registry", *more) if not shutil.which(name)]
    if absent:
        return f"no {', '.join(absent)} on PATH"
    if not _succeeds("docker", "info"):
        return "no Docker engine answers"
    return "" if _succeeds("docker", "image", "inspect", BASE) else f"the engine has no {BASE}"


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def registry(folder: Path, port: int, users: str = "") -> Iterator[subprocess.Popen]:
    """A registry that lets images be removed, by anybody or by `users`; ended with the block, if not before."""
    settings = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    folder.mkdir(exist_ok=True)
    if users:
        (folder / "users").write_text(users)
        settings["auth"] = {"htpasswd": {"realm": "team", "path": str(folder / "users")}}
    (folder / "settings.yml").write_text(yaml.safe_dump(settings))
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(["docker-registry", "serve", folder / "settings.yml"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while not services.answers(f"http://127.0.0.1:{port}/v2/"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def offered(folder: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The variables with which pipelines build images, push and run them, of the forge and of the machine; or none."""
    if lacking():
        yield {}, {}
        return
    (port,) = services.free_ports(1)
    engine = {name: os.environ[name] for name in ("DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ}
    login = {"IMAGE_REGISTRY_USER": "robot", "IMAGE_REGISTRY_PASSWORD": PASSWORD}
    project = f"pipelines-{port}"
    if proxied():
        engine |= {"DEPLOY_TARGET": "compose", "PROXY_IMAGE": PROXY, "COMPOSE_PROJECT_NAME": project}
    with registry(folder / "images", port, USERS):
        try:
            yield {"IMAGE_REGISTRY": f"127.0.0.1:{port}/team", **login}, engine
        finally:
            for environment in ("staging", "production"):
                ended(f"{project}-{environment}")
            forget(f"127.0.0.1:{port}/team/*")


def proxied() -> bool:
    """Whether the engine has an image of the proxy, or can make one."""
    build = ["docker", "build", "--quiet", "--tag", PROXY, "-"]
    return _succeeds("docker", "image", "inspect", PROXY) or (
        subprocess.run(build, input=HAPROXY.encode(), capture_output=True, check=False).returncode == 0
    )


def ended(project: str) -> None:
    """Remove everything of a compose project."""
    for what, every in (("container", ["--all"]), ("network", []), ("volume", [])):
        mine = ["--filter", f"label=com.docker.compose.project={project}"]
        listed = ["docker", what, "ls", "--quiet", *every, *mine]
        found = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        if found:
            force = ["--force"] if what == "container" else []
            subprocess.run(["docker", what, "rm", *force, *found], capture_output=True, check=True)


def forget(reference: str) -> None:
    """Remove from the engine every image whose name matches."""
    command = ["docker", "images", "--quiet", "--filter", f"reference={reference}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if found:
        subprocess.run(["docker", "rmi", "--force", *set(found)], capture_output=True, check=True)
