"""The API of an OCI registry, as far as looking and removing go: the engines have no words for these.

Logins: the variables of names.py, else what `docker login` or `podman login` has kept on this machine.
"""

import base64
import hashlib
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.containers import names
from << cookiecutter.__package >>.outcome import Bad, Unjudged

KINDS = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]
LOGIN = "Check IMAGE_REGISTRY_USER and IMAGE_REGISTRY_PASSWORD"
HERE = ("localhost", "127.0.0.1", "[::1]")
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
NEXT = re.compile(r"<([^>]+)>")


class Registry:
    """One repository of a registry, named as in registry.example.org/team/project; a tag or digest may follow.

    Every method raises Unjudged where the registry cannot be reached or refuses the login.
    """

    def __init__(self, name: str) -> None:
        self.host, _, rest = name.partition("/")
        self.path = rest.partition("@")[0].partition(":")[0]
        scheme = "http" if self.host.rpartition(":")[0] in HERE or self.host in HERE else "https"
        self.address = f"{scheme}://{self.host}"
        self.login = names.credentials(name) or _kept(self.host)
        self.authorization = ""

    def reach(self) -> None:
        """Return where the registry answers and takes the login."""
        self._ask("GET", "tags/list?n=1")

    def digest(self, reference: str) -> str | None:
        """The digest that a tag stands for; None where there is no such tag."""
        answer = self._ask("HEAD", f"manifests/{reference}")
        return answer and answer[1]["Docker-Content-Digest"]

    def manifest(self, reference: str) -> dict[str, Any] | None:
        """What a tag or digest stands for, checked against the digest; None where it stands for nothing."""
        answer = self._ask("GET", f"manifests/{reference}")
        return answer and json.loads(_checked(answer[0], reference))

    def labels(self, digest: str) -> dict[str, str] | None:
        """The labels of an image; of the first, where the digest is that of several platforms'."""
        settings = self.settings(digest)
        return None if settings is None else settings["config"].get("Labels") or {}

    def settings(self, reference: str) -> dict[str, Any] | None:
        found = self.manifest(reference)
        if found and "manifests" in found:
            found = self.manifest(found["manifests"][0]["digest"])
        if not found:
            return None
        config = found["config"]["digest"]
        answer = self._ask("GET", f"blobs/{config}")
        return answer and json.loads(_checked(answer[0], config))

    def tags(self) -> list[str]:
        found, path = [], "tags/list?n=1000"
        while path:
            answer = self._ask("GET", path)
            if not answer:
                break
            found += json.loads(answer[0])["tags"] or []
            more = NEXT.search(answer[1].get("Link") or "")
            path = more[1].partition(f"/v2/{self.path}/")[2] if more else ""
        return found

    def remove(self, digest: str) -> None:
        """Remove a manifest and every tag of it; its layers go when the registry next collects what nobody names."""
        self._ask("DELETE", f"manifests/{digest}")

    def _ask(self, method: str, path: str) -> tuple[bytes, Any] | None:
        """Content and headers of the answer; None for 404."""
        url = f"{self.address}/v2/{self.path}/{path}"
        for _ in range(2):
            headers = {"Accept": ", ".join(KINDS), "Authorization": self.authorization}
            headers = {name: value for name, value in headers.items() if value}
            asked = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                    return answer.read(), answer.headers
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                if error.code == 401 and not self.authorization:
                    self.authorization = self._authorized(error.headers.get("WWW-Authenticate", ""))
                    continue
                what = f"{self.host} refuses {method} of {self.path}: {error.code} {error.reason}"
                raise Unjudged(what, f"{LOGIN}, and what they may do (docs/image.md).") from error
            except OSError as error:
                what = f"the registry {self.host} does not answer: {error}"
                raise Unjudged(what, "Call again when it does.") from error
        raise Unjudged(f"{self.host} refuses the login", f"{LOGIN}.")

    def _authorized(self, challenge: str) -> str:
        """What to send, after the registry has said how it wants to be told who asks."""
        basic = ""
        if self.login:
            basic = f"Basic {base64.b64encode(':'.join(self.login).encode()).decode()}"
        if challenge.lower().startswith("basic"):
            return basic
        wanted = dict(CHALLENGE.findall(challenge))
        realm = wanted.pop("realm", "")
        if not realm.startswith(("https://", self.address)):
            raise Unjudged(f"{self.host} sends logins to {realm or 'nowhere'}", "Ask whoever runs it.")
        headers = {"Authorization": basic} if basic else {}
        asked = urllib.request.Request(f"{realm}?{urllib.parse.urlencode(wanted)}", headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                given = json.load(answer)
        except OSError as error:
            raise Unjudged(f"{self.host} refuses the login: {error}", f"{LOGIN}.") from error
        return f"Bearer {given.get('token') or given['access_token']}"


def _checked(content: bytes, reference: str) -> bytes:
    """The content; raises Bad where it is not what its digest says."""
    actual = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if reference.startswith("sha256:") and actual != reference:
        raise Bad(f"the registry gives {actual} for {reference}", "Do not trust this registry.")
    return content


def _kept(host: str) -> tuple[str, str] | None:
    """The login for a host that an engine has kept in a file; one in a keychain is not read."""
    for path in _files():
        try:
            entry = json.loads(path.read_text()).get("auths", {}).get(host, {}).get("auth")
        except FileNotFoundError:
            continue
        if entry:
            user, _, password = base64.b64decode(entry).decode().partition(":")
            return user, password
    return None


def _files() -> Iterator[Path]:
    get = os.environ.get
    yield Path(get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    yield Path(get("REGISTRY_AUTH_FILE") or Path(get("XDG_RUNTIME_DIR", "/nowhere"), "containers", "auth.json"))
