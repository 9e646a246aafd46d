"""The cluster's API through `kubectl proxy`: logins, contexts and certificates are kubectl's, as on the command line.

`KUBECTL` is the command, by default kubectl, with options if need be: KUBECTL="kubectl --context production".
"""

import contextlib
import http.client
import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes.answers import Unanswered, answer
from << cookiecutter.__package >>.outcome import Unjudged

MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
MANAGER = "<< cookiecutter.project >>"  # the name under which the cluster notes which fields are ours
PATIENCE_S = 15  # an API server that is just being replaced is back within
TIMEOUT_S = 30
# The proxy ends with its caller, however that ends: the pipe that `cat` reads from closes with it.
GUARD = '"$@" & exec >&- 2>&-; cat >/dev/null; kill $!'


class Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Cluster:
    """One cluster as kubectl reaches it. Every method raises Unjudged where it does not answer, or forbids."""

    def __init__(self) -> None:
        self.command = shlex.split(os.environ.get("KUBECTL") or "kubectl")
        self.patience_s = PATIENCE_S
        self.starting = threading.Lock()
        self.proxy: tuple[subprocess.Popen, str] | None = None
        self.kinds = cache(self._kinds)
        self.kustomize = cache(self._kustomize)

    def get(self, path: str) -> Any:
        """The object or list at this path of the API; None where there is none."""
        return self.ask("GET", path)

    def apply(self, namespace: str, manifest: dict[str, Any]) -> None:
        """Make the object as the manifest says, whoever has set these fields before; others stay."""
        path = self.path(namespace, manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])
        self.ask("PATCH", f"{path}?fieldManager={MANAGER}&force=true", manifest, APPLY)

    def patch(self, path: str, change: dict[str, Any]) -> None:
        self.ask("PATCH", f"{path}?fieldManager={MANAGER}", change, MERGE)

    def delete(self, path: str) -> None:
        """Remove the object and what it has made, in the background; nothing where there is none."""
        self.ask("DELETE", path, {"propagationPolicy": "Background"})

    def path(self, namespace: str, version: str, kind: str, name: str) -> str:
        """Where the API has such an object; raises Unjudged where the cluster does not know the kind."""
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural = self.kinds(group).get(kind)
        if not plural:
            what = f"the cluster does not know {kind} of {version}"
            raise Unjudged(what, "Use Kubernetes 1.30 or later, or install what brings this kind.")
        return f"{group}/namespaces/{namespace}/{plural}/{name}"

    def _kinds(self, group: str) -> dict[str, str]:
        resources = (self.get(group) or {}).get("resources", [])
        return {one["kind"]: one["name"] for one in resources if "/" not in one["name"]}

    def _kustomize(self, folder: Path) -> list[dict[str, Any]]:
        """The manifests of a kustomization."""
        done = self._run("kustomize", str(folder))
        if done.returncode:
            raise Unjudged(f"{folder} cannot be rendered: {last(done.stderr)}", "See `kubectl kustomize` with it.")
        return list(yaml.safe_load_all(done.stdout))

    def _run(self, *words: str) -> subprocess.CompletedProcess:
        try:
            return subprocess.run([*self.command, *words], capture_output=True, text=True, check=False)
        except OSError as error:
            what = f"{self.command[0]} cannot be called: {error.strerror}"
            raise Unjudged(what, "Install kubectl, or set KUBECTL to where it is.") from error

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """The JSON that the API answers, its text where it is none; None for what is not there.

        Raises Conflict, and Unjudged where it refuses, or has not answered for `patience_s`.
        """
        end = time.monotonic() + self.patience_s
        while True:
            try:
                return answer(*self.once(method, path, body, kind))
            except Unanswered as error:
                if time.monotonic() > end:
                    remedy = "Check KUBECONFIG and the way to the cluster: `kubectl get --raw /readyz`."
                    raise Unjudged(f"the cluster does not answer: {error}", remedy) from error
            time.sleep(0.5)

    def once(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, bytes]:
        """Status and content of one request, whatever they are; raises Unanswered without one."""
        connection = Connection(self._socket())
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, ConnectionRefusedError | FileNotFoundError):
                self.proxy = None  # it was killed: the next request starts another
            raise Unanswered(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def _socket(self) -> str:
        """The socket of the proxy, which is started on first use, and again if it has ended."""
        with self.starting:
            if not (self.proxy and Path(self.proxy[1]).exists()):
                self.proxy = self._started()
            return self.proxy[1]

    def _started(self) -> tuple[subprocess.Popen, str]:
        folder = tempfile.mkdtemp(prefix="kubectl-")  # nobody else may enter it
        path, said = f"{folder}/proxy", Path(folder, "said")
        with said.open("w") as errors:
            command = ["sh", "-c", GUARD, "sh", *self.command, "proxy", f"--unix-socket={path}"]
            process = subprocess.Popen(  # in a session of its own: an interrupt is ours to handle
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        weakref.finalize(self, _end, process, folder)
        if not (process.stdout and process.stdout.readline()):  # "Starting to serve on …"
            why = last(said.read_text())
            raise Unjudged(f"kubectl cannot reach a cluster: {why}", "Check KUBECONFIG, or set KUBECTL to its path.")
        return process, path


def _end(process: subprocess.Popen, folder: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.wait()
    process.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)


def last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
