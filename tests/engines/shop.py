"""What the tests of the image share: a project that packages into a registry of its own, and a door that breaks."""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from pathlib import Path

import yaml
from conftest import run, speak

from engines.services import free_ports


def docker(*words: str) -> str:
    done = run(["docker", *words], Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def until(condition, limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(port: int, path: str, body: str | None = None) -> tuple[int, bytes]:
    """Status and content; 0 where nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST" if body else "GET", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


class Shop:
    """A project with a gated model that is packaged as a signed image into a registry of its own."""

    def __init__(self, project: Path, port: int, keys: Path) -> None:
        self.project, self.port, self.keys = project, port, keys
        self.repository = f"127.0.0.1:{port}/team/{project.name}"
        production, staging = map(str, free_ports(2))
        self.env = {"IMAGE_REGISTRY": f"127.0.0.1:{port}/team", "COSIGN_KEY": str(keys / "own.key"),
                    "COSIGN_PASSWORD": "secret", "PRODUCTION_PORT": production, "STAGING_PORT": staging,
                    "CONTAINER_ENGINE": "docker"}  # fmt: skip

    def word(self, name: str, *arguments: str, code: int = 0, **env: str | None) -> str:
        done = speak(self.project, name, *arguments, code=code, env=self.env | env)
        return done.stdout + done.stderr

    def package(self) -> dict:
        return json.loads((self.project / "build" / "package.json").read_text())

    def change(self, **gate) -> None:
        path = self.project / "gates.yaml"
        gates = yaml.safe_load(path.read_text())
        gates["image"] |= gate
        path.write_text(yaml.safe_dump(gates))

    def tags(self) -> list[str]:
        status, content = answers(self.port, f"/v2/team/{self.project.name}/tags/list")
        return json.loads(content)["tags"] if status == 200 else []

    def without_signature(self) -> None:
        """Remove the image's signature from the registry."""
        digest = self.package()["image"].partition("@")[2]
        path = f"/v2/team/{self.project.name}/manifests/"
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        kind = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        connection.request("HEAD", f"{path}{digest.replace(':', '-')}.sig", headers=kind)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        connection.request("DELETE", path + answer.headers["Docker-Content-Digest"])
        assert connection.getresponse().status == 202
        connection.close()

    def cosign(self, *words: str) -> subprocess.CompletedProcess:
        return run(["cosign", *words], self.keys, env={"COSIGN_PASSWORD": "secret"})

    def sign(self, image: str, key: str, **claims: str) -> None:
        said = [word for name, value in claims.items() for word in ("-a", f"{name}={value}")]
        flags = ["sign", "--yes", "--key", str(self.keys / f"{key}.key"), "--tlog-upload=false"]
        if "--use-signing-config" in self.cosign("sign", "--help").stdout:
            flags += ["--use-signing-config=false", "--new-bundle-format=false"]
        assert self.cosign(*flags, *said, image).returncode == 0


class Fragile:
    """A door to the registry that breaks its first `breaks` connections after so many bytes, as a dying one does."""

    def __init__(self, to: int, breaks: int, after: int = 2_000_000) -> None:
        self.to, self.breaks, self.after, self.broken = to, breaks, after, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                caller, _ = self.server.accept()
            except OSError:  # closed
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # nobody behind it any more
                caller.close()
                continue
            threading.Thread(target=self.pump, args=(caller, there, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(there, caller, False), daemon=True).start()

    def pump(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while content := one.recv(65536):
                seen += len(content)
                if counts and seen > self.after and self.broken < self.breaks:
                    self.broken += 1
                    break
                other.sendall(content)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.server.close()
