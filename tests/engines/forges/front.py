"""What both doubles stand behind: a server that keeps every request and sends what its forge answers."""

import json
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
