"""The servers that `bench serve` compares, and how each is started and ended."""

import contextlib
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.serving.client import pinned
from ci.machine.leftovers import end
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

OUT = Path("build/bench")
OURS, MLFLOW, PLAIN, RAW = "this service", "mlflow models serve", "BentoML, plain idiom", "raw ASGI, nothing checked"
READY_S = 120


@dataclass(frozen=True)
class Server:
    """A way to serve: its command, the path that answers, and the name of the rows in the request."""

    command: list[str]
    path: str = "/predict"
    rows: str = "rows"


def servers(port: int) -> dict[str, Server]:
    python, number = sys.executable, str(port)
    uvicorn = [python, "-m", "uvicorn", "--port", number, "--log-level", "error", "--no-access-log", "--loop", "uvloop"]
    mlflow = [python, "-m", "mlflow", "models", "serve", "--model-uri", str(OUT / "mlflow"), "--env-manager", "local"]
    return {
        MLFLOW: Server([*mlflow, "--port", number, "--workers", "1"], "/invocations", "dataframe_records"),
        "FastAPI, pandas, scikit-learn": Server([*uvicorn, "bench.serving.pandas_server:app"]),
        PLAIN: Server([python, "-m", "bentoml", "serve", "bench.serving.plain:Plain", "--port", number]),
        OURS: Server([python, "-m", "service", "--port", number]),
        RAW: Server([*uvicorn, "bench.serving.raw:app"]),
    }


@contextlib.contextmanager
def serving(name: str, rows: int) -> Iterator[tuple[psutil.Process, str, bytes]]:
    """Start the server on a free port and wait for its first answer; ends it and its children afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = servers(port)[name]
    address = f"http://127.0.0.1:{port}{server.path}"
    body = json.dumps({server.rows: [SCHEMA.example()] * rows}).encode()
    log = OUT / f"{name.partition(',')[0].replace(' ', '-').lower()}.log"
    variables = {**os.environ, "BENTOML_HOME": str((OUT / "bentoml").absolute())}
    with log.open("w") as output:
        process = psutil.Popen(pinned(0, server.command), stdout=output, stderr=output, env=variables)
        try:
            await_answer(process, address, body, name, log)
            yield process, address, body
        finally:
            end([*process.children(recursive=True), process])


def await_answer(process: psutil.Popen, address: str, body: bytes, name: str, log: Path) -> None:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
            return
        except urllib.error.HTTPError as error:
            raise Unjudged(f"{name} answers {error.code}: {error.read()[:300].decode()}", f"Read {log}.") from error
        except OSError:
            time.sleep(0.1)
    raise Unjudged(f"{name} did not answer within {READY_S} s", f"Read {log}.")
