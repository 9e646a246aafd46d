"""What the image is called, and the login of the registry that it goes to.

`IMAGE_REGISTRY` is an address such as ghcr.io/owner, registry.gitlab.com/group/project or registry.example.org/team.
"""

import base64
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from << cookiecutter.__package >>.outcome import Unjudged

PROJECT = "<< cookiecutter.project >>"
PLAIN = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def repository() -> str | None:
    """The registry's name for the project, such as ghcr.io/owner/project; None where `IMAGE_REGISTRY` is not set."""
    given = os.environ.get("IMAGE_REGISTRY", "").strip().rstrip("/").lower()
    if not given:
        return None
    if not PLAIN.fullmatch(given):
        remedy = "Use host, host:port or host/path, without a scheme, such as ghcr.io/owner."
        raise Unjudged(f"IMAGE_REGISTRY is {given!r}, which names no registry", remedy)
    return f"{given}/{PROJECT}"


def host(name: str) -> str:
    return name.partition("/")[0]


def credentials(name: str) -> tuple[str, str] | None:
    """User and password for the registry of this name, from variables; None where its login is the machine's own.

    A login goes to the registry that it is for and to no other, whatever name a package brings along: the one of
    `IMAGE_REGISTRY`, or the forge's own, for which its job has a token.
    """
    get = os.environ.get
    known = [
        (host(get("IMAGE_REGISTRY", "")), "IMAGE_REGISTRY_USER", "IMAGE_REGISTRY_PASSWORD"),
        (get("CI_REGISTRY", ""), "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"),
        ("ghcr.io", "GITHUB_ACTOR", "GITHUB_TOKEN"),
    ]
    for at, user, password in known:
        if at.lower() == host(name) and get(user) and get(password):
            return os.environ[user], os.environ[password]
    return None


@contextlib.contextmanager
def login(name: str) -> Iterator[dict[str, str]]:
    """Variables that log engines and cosign in at the registry of this name, for as long as the block runs.

    The login lies in a file that nobody else reads, on no command line, and is gone with the block. Where the variables
    name none, the machine's own logins stay in force.
    """
    known = credentials(name)
    if not known:
        yield {}
        return
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with tempfile.TemporaryDirectory(prefix="login-") as folder:
        for path in own.iterdir() if own.is_dir() else ():  # plug-ins and contexts stay
            if path.name != "config.json":
                Path(folder, path.name).symlink_to(path)
        settings = json.loads((own / "config.json").read_text()) if (own / "config.json").exists() else {}
        for keychain in ("credsStore", "credHelpers"):  # they would be asked instead
            settings.pop(keychain, None)
        word = base64.b64encode(":".join(known).encode()).decode()
        settings["auths"] = settings.get("auths", {}) | {host(name): {"auth": word}}
        config = Path(folder, "config.json")
        config.touch(mode=0o600)
        config.write_text(json.dumps(settings))
        yield {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": str(config)}
