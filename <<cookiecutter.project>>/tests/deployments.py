"""What the tests of deployments share: packages whose service is `stand_in.py`, and callers that never let go."""

import json
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from deploy.client import Client
from deploy.releases import digest
from deploy.target import ENVIRONMENTS
from << cookiecutter.__package >>.outcome import Bad

HERE = Path(__file__).resolve().parent
PAUSE_S = 0.005  # or callers on new connections run out of ports
ROWS = [{"x": 10 * number} for number in range(500)]


def package(folder: Path, number: str, **behaviour: object) -> Path:
    """A package.json as `package` writes it, with its Bento and rows.json; `behaviour`: see stand_in.py."""
    bento = folder / f"bento-{number}"
    shutil.rmtree(bento, ignore_errors=True)
    (bento / "src" / "service").mkdir(parents=True)
    (bento / "env" / "python").mkdir(parents=True)
    shutil.copy(HERE / "stand_in.py", bento / "src" / "service" / "__main__.py")
    (bento / "src" / "behaviour.json").write_text(json.dumps(behaviour))
    (bento / "bento.yaml").write_text(f"version: {number}\n")
    (bento / "env" / "python" / "requirements.txt").write_text("")
    (bento / "env" / "python" / "version.txt").write_text((HERE.parent / ".python-version").read_text())
    predictions = [{"probability": row["x"] / 10000} for row in ROWS]
    (folder / "rows.json").write_text(json.dumps({"rows": ROWS, "predictions": predictions}))
    described = {"version": number, "model_md5": f"md5-{number}", "git_sha": "0" * 40, "bento": f"model:{number}"}
    described |= {"path": str(bento), "digest": digest(bento)}
    (folder / "package.json").write_text(json.dumps(described))
    return folder / "package.json"


def until(condition: Callable[[], object], limit_s: float = 60) -> None:
    """Return when the condition holds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def port() -> str:
    """A port of this machine that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def ports(patch: pytest.MonkeyPatch) -> None:
    """Give each environment a free port."""
    for environment in ENVIRONMENTS:
        patch.setenv(f"{environment.upper()}_PORT", port())


class Callers:
    """Threads that ask without a pause while the block runs, on connections that are `kept` open or new each time."""

    def __init__(self, address: str, count: int = 8, kept: bool = True) -> None:
        self.address, self.kept, self.done = address, kept, threading.Event()
        self.versions: Counter[str] = Counter()
        self.failed: list[str] = []
        self.threads = [threading.Thread(target=self.ask) for _ in range(count)]

    def ask(self) -> None:
        with Client(self.address) as client:
            while not self.done.is_set():
                try:
                    status, answer = client.predict(ROWS[:1])
                except Bad as error:
                    self.failed.append(error.what)
                else:
                    self.versions[answer.get("model_version", f"status {status}")] += 1
                    if status != 200:
                        self.failed.append(str(answer))
                if not self.kept:
                    client.connection.close()
                    self.done.wait(PAUSE_S)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()
