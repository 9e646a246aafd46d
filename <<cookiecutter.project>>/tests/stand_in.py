"""A service of the same contract as `service/` without its packages: what the tests of deployments run.

`behaviour.json` beside the package: {"exit": code} ends at once, {"hang": true} never gets ready, {"offset": x} adds x
to every answer, {"version": v} claims another version, {"wrong": {"x": x, "when": "alone" or "batch"}} answers wrongly
for one row, {"slow": s} waits so many seconds between the head and the body of an answer, {"errors": n} answers each
n-th request with 500, {"crowded": s} waits so many seconds with the sixth request of a second, {"dies": n} ends the
process with the n-th request.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections import Counter, deque
from pathlib import Path

BEHAVIOUR = json.loads(Path("behaviour.json").read_text())
DRAINING = asyncio.Event()
RECENT = deque(maxlen=6)  # when the last requests came
TASKS = set()  # of connections: asyncio keeps weak references, and some versions of it lose one that waits
SECONDS = (0.005, 0.05, 0.5, 5, float("inf"))
CODES, WITHIN = Counter(), Counter()  # what /metrics says, in the words of service/metrics.py


def metrics() -> str:
    lines = [f'service_requests_total{{code="{code}"}} {count}' for code, count in CODES.items()]
    lines += [f'service_request_seconds_bucket{{le="{str(bound).title()}"}} {WITHIN[bound]}' for bound in SECONDS]
    return "\n".join(lines)


def answer(path: str, body: bytes) -> tuple[int, dict | str]:
    if path == "/readyz":
        return (503 if BEHAVIOUR.get("hang") else 200), {}
    if path == "/livez":
        return 200, {}
    if path == "/metrics":
        return 200, metrics()
    number = CODES.total() + 1
    if number == BEHAVIOUR.get("dies"):
        os._exit(7)
    if number % BEHAVIOUR.get("errors", number + 1) == 0:
        return 500, {"model_version": os.environ["MODEL_VERSION"], "error": "the model could not answer"}
    rows = json.loads(body)["rows"]
    wrong, offset = BEHAVIOUR.get("wrong", {}), BEHAVIOUR.get("offset", 0)
    amiss = wrong.get("x") if (wrong.get("when") == "alone") == (len(rows) == 1) else None
    scores = [row.get("x", 0) / 10000 + offset + (amiss is not None and row.get("x") == amiss) for row in rows]
    version = BEHAVIOUR.get("version", os.environ["MODEL_VERSION"])
    predictions = [{"probability": score} for score in scores]
    return 200, {"model_version": version, "request_id": "1", "predictions": predictions, "pid": os.getpid()}


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer until the caller hangs up; once draining, the next answer is the last."""
    TASKS.add(asyncio.current_task())
    try:
        while True:
            idle = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
            drained = asyncio.create_task(DRAINING.wait())
            await asyncio.wait({idle, drained}, return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()
            head = (await asyncio.wait_for(idle, 1 if DRAINING.is_set() else None)).decode()
            length = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
            given = await reader.readexactly(int(length[0])) if length else b""
            begun, asked = time.monotonic(), head.startswith("POST")
            if asked:
                RECENT.append(begun)
                crowded = len(RECENT) == RECENT.maxlen and begun - RECENT[0] < 1
                await asyncio.sleep(BEHAVIOUR.get("crowded", 0) if crowded else 0)
            status, content = answer(head.split()[1], given)
            if asked:
                CODES[status] += 1
                WITHIN.update(bound for bound in SECONDS if time.monotonic() - begun <= bound)
            text = content if isinstance(content, str) else json.dumps(content)
            body, kept = text.encode(), "close" if DRAINING.is_set() else "keep-alive"
            writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nConnection: {kept}\r\n\r\n".encode())
            await writer.drain()
            await asyncio.sleep(BEHAVIOUR.get("slow", 0) if head.startswith("POST") else 0)
            writer.write(body)
            await writer.drain()
            if kept == "close":
                return
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return
    finally:
        TASKS.discard(asyncio.current_task())
        writer.close()


async def main() -> None:
    if "exit" in BEHAVIOUR:
        print("the graph is broken", file=sys.stderr)
        sys.exit(BEHAVIOUR["exit"])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, DRAINING.set)
    numbers = [int(value) for name, value in zip(sys.argv, sys.argv[1:], strict=False) if name == "--fd"]
    listeners = [socket.socket(fileno=number) for number in numbers] or [socket.create_server(("", 3000))]
    servers = [await asyncio.start_server(connection, sock=listener) for listener in listeners]
    await DRAINING.wait()
    for server in servers:
        server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait({task})


asyncio.run(main())
