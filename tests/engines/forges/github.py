"""GitHub: emulate behind a front that also speaks TLS (as CML insists), and does what emulate lacks.

That is dispatches, statuses of commits and what git pushes to. Every call is held to GitHub's own description.
"""

import http.client
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines import repositories
from engines.forges.front import TOKEN, Answer, serving
from engines.forges.schema import wrong
from engines.services import answers, free_ports, running
from engines.tools import npm


class GitHub:
    """One repository, team/project, with one pull request, number 1; new ones are made in `root`."""

    def __init__(self, port: int, root: Path) -> None:
        self.port, self.root = port, root
        self.calls: list[tuple[str, str, Any]] = []
        self.against: list[str] = []  # what GitHub's description has against them
        self.dispatches: list[dict] = []
        self.statuses: dict[str, dict] = {}  # of each commit, the last one
        self.writable = True

    def answer(self, method: str, path: str, body: Any, headers: Any) -> Answer:
        if why := wrong(method, path, body):
            self.against.append(why)
            return 422, {"message": why}, {}
        if headers.get("Authorization", "").split(" ")[-1] != TOKEN:
            return 401, {"message": "Bad credentials"}, {}
        if method != "GET" and not self.writable:
            return 403, {"message": "Resource not accessible by integration"}, {}
        if len((body or {}).get("body", "")) > 65_536:
            return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}, {}
        if re.fullmatch(r"/repos/team/project/actions/workflows/[\w.]+/dispatches", path):
            self.dispatches.append(body)
            return 204, None, {}
        if marked := re.fullmatch(r"/repos/team/project/statuses/([0-9a-f]{40})", path):
            if len(body.get("description", "")) > 140:
                return 422, {"message": "Validation Failed: description is too long (maximum is 140 characters)"}, {}
            self.statuses[marked[1]] = body
            return 201, body, {}
        status, made, link = self._emulated(method, path, body)
        if method == "POST" and path.endswith("/repos") and status == 201:
            repositories.create(self.root, made["full_name"])
        return status, made, link

    def _emulated(self, method: str, path: str, body: Any) -> Answer:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        asked.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = asked.getresponse()
        content, link = answer.read(), answer.headers.get("Link")
        asked.close()
        return answer.status, json.loads(content) if content else None, {"Link": link} if link else {}

    def comments(self) -> list[str]:
        _, found, _ = self._emulated("GET", "/repos/team/project/issues/1/comments?per_page=100", None)
        return [comment["body"] for comment in found]

    def comment(self, text: str) -> None:
        """Somebody's remark."""
        self._emulated("POST", "/repos/team/project/issues/1/comments", {"body": text})

    def writes(self) -> list[str]:
        """The methods of the calls that changed a comment."""
        return [method for method, path, _ in self.calls if method in ("POST", "PATCH") and "/comments" in path]

    def status(self, commit: str) -> tuple[str, bool, str]:
        """What the commit was last marked with: name, whether it is good, text."""
        found = self.statuses[commit]
        return found["context"], found["state"] == "success", found["description"]


@contextmanager
def github(folder: Path) -> Iterator[tuple[GitHub, dict[str, str]]]:
    """The emulated GitHub, and the variables by which a job reaches it; `folder` takes what it keeps."""
    repository = {"owner": "team", "name": "project", "auto_init": True}
    team = {"login": "team", "members": [{"login": "dev"}]}
    people = {"users": [{"login": "dev"}], "orgs": [team], "repos": [repository]}
    seed = {"tokens": {TOKEN: {"login": "dev", "scopes": ["repo"]}}, "github": people}
    (folder / "seed.json").write_text(json.dumps(seed))
    (port,) = free_ports(1)
    command = [*npm("emulate"), "--service=github", f"--port={port}", f"--seed={folder / 'seed.json'}"]
    certificate = _certificate(folder)
    with running(command, folder, lambda: answers(f"http://127.0.0.1:{port}/meta")):
        forge = GitHub(port, folder / "repositories")
        change = {"title": "A change", "head": "change", "base": "main"}
        made = forge._emulated("POST", "/repos/team/project/pulls", change)
        assert made[0] == 201, made
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, folder / "key.pem")
        with serving(forge) as plain, serving(forge, context) as secure:
            yield forge, {
                "GITHUB_API_URL": f"http://127.0.0.1:{plain}",
                "GITHUB_SERVER_URL": f"https://127.0.0.1:{secure}",
                "NODE_EXTRA_CA_CERTS": str(certificate),
            }
        assert forge.against == []


def _certificate(folder: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem"
