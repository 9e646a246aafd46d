"""Git over HTTP as both forges offer it, by git's own http-backend: anyone reads, who pushes shows a token."""

import base64
import binascii
import gzip
import http
import os
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Backend(BaseHTTPRequestHandler):
    """Hands a request to `git http-backend` and its answer back; a push without the server's token is refused."""

    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body, url = self._body(), urllib.parse.urlsplit(self.path)
        pushes = "git-receive-pack" in (url.path.rpartition("/")[2], url.query.removeprefix("service="))
        if pushes and self._password() != self.server.token:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            return
        variables = {
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        variables |= {"REMOTE_USER": "token"} if pushes else {}
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=os.environ | variables, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    do_GET = do_POST = handle_any

    def _password(self) -> str:
        kind, _, secret = self.headers.get("Authorization", "").partition(" ")
        try:
            return base64.b64decode(secret).decode().partition(":")[2] if kind == "Basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            return ""

    def _body(self) -> bytes:
        """What came: whole, or in chunks where git has much to send."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.server.calls.append((self.command, self.path, status))
        self.send_response(status, http.HTTPStatus(status).phrase)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """The calls are in `calls`."""


def create(root: Path, path: str) -> Path:
    """An empty repository, as a forge makes it for owner/name."""
    made = root / f"{path}.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", made], check=True)
    return made


@contextmanager
def over_http(root: Path, token: str) -> Iterator[ThreadingHTTPServer]:
    """Serve the bare repositories below `root` at the server's `url`; `calls` has every (method, path, status)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.root, server.token, server.calls = root, token, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
