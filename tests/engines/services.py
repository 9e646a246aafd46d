"""Real servers for the pipelines: object storage (SeaweedFS) and MLflow, each on a free port, ended with the tests."""

import http.client
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.tools import BIN, environment

KEY, SECRET, BUCKET = "AKIDPIPELINE", "secret-of-the-pipeline", "models"


def free_ports(count: int) -> list[int]:
    """Ports free for HTTP, and 10,000 higher for SeaweedFS's gRPC."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port < 55_000 and port not in found and other.connect_ex(("127.0.0.1", port + 10_000)):
                found.append(port)
    return found


@contextmanager
def running(
    command: list, folder: Path, ready: Callable[[], bool], end: int = signal.SIGTERM, **variables: str
) -> Iterator[None]:
    """A server that has become ready, and ends with the block by the signal `end`."""
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(part) for part in command], cwd=folder, env=environment(**variables), stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 90
        while not ready():
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, f"{command[0]} did not become ready: {log.read_text()[-2000:]}"
            time.sleep(0.1)
        yield
    finally:
        server.send_signal(end)
        server.wait(30)


@contextmanager
def store(folder: Path) -> Iterator[dict[str, str]]:
    """An S3 server with one bucket; yields the variables that reach it."""
    identity = {"accessKey": KEY, "secretKey": SECRET}
    people = [{"name": "pipeline", "actions": ["Admin", "Read", "Write", "List"], "credentials": [identity]}]
    (folder / "s3.json").write_text(json.dumps({"identities": people}))
    ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4), strict=True))
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]
    command = [BIN / "weed", "server", "-dir=.", "-ip=127.0.0.1", "-filer", "-s3", "-s3.config=s3.json", *options]
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }

    def ready() -> bool:
        return answers(variables["AWS_ENDPOINT_URL"]) and _create(ports["filer"])

    with running(command, folder, ready, signal.SIGKILL):  # it takes half a minute to end by itself
        yield variables


def _create(filer: int) -> bool:
    """Make the bucket: a folder of the filer, below /buckets."""
    asked = http.client.HTTPConnection("127.0.0.1", filer, timeout=5)
    try:
        asked.request("POST", f"/buckets/{BUCKET}/")
        return asked.getresponse().status == http.HTTPStatus.CREATED
    except OSError:
        return False
    finally:
        asked.close()


@contextmanager
def mlflow(folder: Path, python: Path) -> Iterator[str]:
    """An MLflow server with its own database and artifacts; yields its address. `python` has the package mlflow."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [python, "-m", "mlflow", "server", "--workers=1", f"--port={port}"]
    command += [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/artifacts"]
    # Without its job queues, which nothing here uses and which are eight processes more.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, folder, lambda: answers(f"{address}/health"), **quiet):
        yield address


def answers(url: str) -> bool:
    """Whether anything speaks HTTP there, be it to refuse."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
