"""Asks one address the same question over kept-open connections: wrk where it is installed, else Python's own sockets.

Linux: the client keeps to one core, so that what it costs does not show as the server's.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[%s]==]
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{"answers": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """Answers within `seconds`, how many of them were no 2xx, and percentiles of their latency in milliseconds."""

    answers: int
    seconds: float
    p50: float
    p99: float
    failed: int

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, where there is more than one."""
    if shutil.which("taskset") and (os.cpu_count() or 1) > 1:
        return ["taskset", "--cpu-list", str(core), *command]
    return command


def wrk(address: str, body: bytes, connections: int, seconds: int) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(SCRIPT % body.decode())
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), address]
        out = subprocess.run(pinned(1, command), check=True, stdout=subprocess.PIPE, text=True).stdout
    return Load(**json.loads(out.strip().splitlines()[-1]))


def python(address: str, body: bytes, connections: int, seconds: int) -> Load:
    """The same in a process of its own: slower than wrk, so fast servers look slower than they are."""
    command = [sys.executable, "-m", "bench.serving.client", address, str(connections), str(seconds)]
    out = subprocess.run(pinned(1, command), check=True, input=body, stdout=subprocess.PIPE).stdout
    return Load(**json.loads(out))


def load(address: str, body: bytes, connections: int, seconds: int) -> Load:
    return (wrk if shutil.which("wrk") else python)(address, body, connections, seconds)


async def ask(address: str, body: bytes, connections: int, seconds: int) -> Load:
    parts = urlsplit(address)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    question = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    latencies: list[float] = []
    failed = 0
    begun = time.perf_counter()

    async def caller() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (asked := time.perf_counter()) - begun < seconds:
            writer.write(question)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = answer.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            failed += answer.split(b" ", 2)[1][:1] != b"2"
            latencies.append((time.perf_counter() - asked) * 1e3)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(connections)))
    took = time.perf_counter() - begun
    latencies.sort()
    middle, high = (latencies[int(len(latencies) * share)] for share in (0.5, 0.99))
    return Load(len(latencies), took, middle, high, failed)


if __name__ == "__main__":
    found = asyncio.run(ask(sys.argv[1], sys.stdin.buffer.read(), int(sys.argv[2]), int(sys.argv[3])))
    print(json.dumps(found.__dict__))
