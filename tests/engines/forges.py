"""The forges' APIs: emulate behind a front that also speaks TLS (as CML insists) and takes dispatches; GitLab's notes.

Both keep `calls`, every request in order, as (method, path, body).
"""

import http.client
import json
import re
import ssl
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from engines.services import answers, free_ports, running
from engines.tools import npm

TOKEN = "token-of-the-job"  # noqa: S105
Answer = tuple[int, Any, dict[str, str]]  # status, JSON, headers


class Front(BaseHTTPRequestHandler):
    """Reads a request, keeps it in `calls`, and sends what the server's `answer` says."""

    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if "urlencoded" in self.headers.get("Content-Type", ""):
            body = dict(urllib.parse.parse_qsl(raw.decode(), keep_blank_values=True))
        else:
            body = json.loads(raw) if raw else None
        forge = self.server.forge
        path = self.path.removeprefix("/api/v3")
        forge.calls.append((self.command, path.split("?")[0], body))
        status, answer, headers = forge.answer(self.command, path, body, self.headers)
        content = json.dumps(answer).encode() if answer is not None else b""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = handle_any

    def log_message(self, *arguments: Any) -> None:
        """The calls are in `calls`."""


@contextmanager
def serving(forge: Any, context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    server.forge = forge
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class GitHub:
    """emulate with one repository and one pull request, number 1."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls: list[tuple[str, str, Any]] = []
        self.dispatches: list[dict] = []
        self.writable = True

    def answer(self, method: str, path: str, body: Any, headers: Any) -> Answer:
        if headers.get("Authorization", "").split(" ")[-1] != TOKEN:
            return 401, {"message": "Bad credentials"}, {}
        if method != "GET" and not self.writable:
            return 403, {"message": "Resource not accessible by integration"}, {}
        if len((body or {}).get("body", "")) > 65_536:
            return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}, {}
        if re.fullmatch(r"/repos/team/project/actions/workflows/[\w.]+/dispatches", path):
            self.dispatches.append(body)
            return 204, None, {}
        return self._emulated(method, path, body)

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

    def writes(self) -> list[str]:
        """The methods of the calls that changed a comment."""
        return [method for method, path, _ in self.calls if method in ("POST", "PATCH") and "/comments" in path]


@contextmanager
def github(folder: Path) -> Iterator[tuple[GitHub, dict[str, str]]]:
    """The emulated GitHub, and the variables by which a job reaches it."""
    repository = {"owner": "team", "name": "project", "auto_init": True}
    people = {"users": [{"login": "dev"}], "orgs": [{"login": "team"}], "repos": [repository]}
    seed = {"tokens": {TOKEN: {"login": "dev", "scopes": ["repo"]}}, "github": people}
    (folder / "seed.json").write_text(json.dumps(seed))
    (port,) = free_ports(1)
    command = [*npm("emulate"), "--service=github", f"--port={port}", f"--seed={folder / 'seed.json'}"]
    certificate = _certificate(folder)
    with running(command, folder, lambda: answers(f"http://127.0.0.1:{port}/meta")):
        forge = GitHub(port)
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


def _certificate(folder: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem"


class GitLab:
    """The notes of merge request 7 of project 1, as docs.gitlab.com/api/notes describes them."""

    NOTES = re.compile(r"/api/v4/projects/(?:1|team%2Fproject)/merge_requests/7/notes(?:/(\d+))?")

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.notes: list[dict] = []
        self.writable = True

    def answer(self, method: str, path: str, body: Any, headers: Any) -> Answer:
        url = urllib.parse.urlsplit(path)
        if url.path == "/api/v4/version":
            return 200, {"version": "18.5.0", "revision": "0000000"}, {}
        if TOKEN not in (headers.get("PRIVATE-TOKEN"), headers.get("Authorization", "").removeprefix("Bearer ")):
            return 401, {"message": "401 Unauthorized"}, {}
        found = self.NOTES.fullmatch(url.path)
        if not found:
            return 404, {"message": "404 Not Found"}, {}
        if method == "GET" and not found[1]:
            return self._page(dict(urllib.parse.parse_qsl(url.query)), headers["Host"], url.path)
        if not self.writable:
            return 403, {"message": "403 Forbidden"}, {}
        if not (body or {}).get("body"):
            return 400, {"error": "body is missing"}, {}
        if len(body["body"]) > 1_000_000:
            return 400, {"message": "400 Bad request - Note is too long (maximum is 1000000 characters)"}, {}
        if method == "POST" and not found[1]:
            self.notes.append({"id": len(self.notes) + 1, "body": body["body"], "system": False})
            return 201, self.notes[-1], {}
        note = next((note for note in self.notes if str(note["id"]) == found[1]), None)
        if method == "PUT" and note:
            note["body"] = body["body"]
            return 200, note, {}
        return 404, {"message": "404 Not Found"}, {}

    def _page(self, query: dict[str, str], host: str, path: str) -> Answer:
        """Newest first, 20 a page unless asked for more."""
        size, page = min(int(query.get("per_page", 20)), 100), int(query.get("page", 1))
        newest = self.notes[::-1]
        more = page * size < len(newest)
        link = f'<http://{host}{path}?per_page={size}&page={page + 1}>; rel="next"'
        return 200, newest[(page - 1) * size : page * size], {"Link": link} if more else {}

    def comments(self) -> list[str]:
        return [note["body"] for note in self.notes]

    def writes(self) -> list[str]:
        return [method for method, path, _ in self.calls if method in ("POST", "PUT") and "/notes" in path]


@contextmanager
def gitlab() -> Iterator[tuple[GitLab, dict[str, str]]]:
    forge = GitLab()
    with serving(forge) as port:
        host = f"http://127.0.0.1:{port}"
        yield forge, {"CI_API_V4_URL": f"{host}/api/v4", "CI_MERGE_REQUEST_PROJECT_URL": f"{host}/team/project"}
