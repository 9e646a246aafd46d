"""A service of the same contract as `service/` without its packages: what the tests of deployments run.

`behaviour.json` beside the package: {"exit": code} ends at once, {"hang": true} never gets ready, {"offset": x} adds x
to every answer, {"version": v} claims another version, {"wrong": {"x": x, "when": "alone" or "batch"}} answers wrongly
for one row, {"slow": s} waits so many seconds between the head and the body of an answer.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

BEHAVIOUR = json.loads(Path("behaviour.json").read_text())
DRAINING = asyncio.Event()


def answer(path: str, body: bytes) -> tuple[int, dict]:
    if path == "/readyz":
        return (503 if BEHAVIOUR.get("hang") else 200), {}
    if path == "/metrics":
        return 200, {"requests": 1}
    rows = json.loads(body)["rows"]
    wrong, offset = BEHAVIOUR.get("wrong", {}), BEHAVIOUR.get("offset", 0)
    amiss = wrong.get("x") if (wrong.get("when") == "alone") == (len(rows) == 1) else None
    scores = [row.get("x", 0) / 10000 + offset + (amiss is not None and row.get("x") == amiss) for row in rows]
    version = BEHAVIOUR.get("version", os.environ["MODEL_VERSION"])
    predictions = [{"probability": score} for score in scores]
    return 200, {"model_version": version, "request_id": "1", "predictions": predictions, "pid": os.getpid()}


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer until the caller hangs up; once draining, the next answer is the last."""
    try:
        while True:
            idle = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
            drained = asyncio.create_task(DRAINING.wait())
            await asyncio.wait({idle, drained}, return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()
            head = (await asyncio.wait_for(idle, 1 if DRAINING.is_set() else None)).decode()
            length = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
            status, content = answer(head.split()[1], await reader.readexactly(int(length[0])) if length else b"")
            body, kept = json.dumps(content).encode(), "close" if DRAINING.is_set() else "keep-alive"
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
        writer.close()


async def main() -> None:
    if "exit" in BEHAVIOUR:
        print("the graph is broken", file=sys.stderr)
        sys.exit(BEHAVIOUR["exit"])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, DRAINING.set)
    numbers = [int(value) for name, value in zip(sys.argv, sys.argv[1:], strict=False) if name == "--fd"]
    servers = [await asyncio.start_server(connection, sock=socket.socket(fileno=number)) for number in numbers]
    await DRAINING.wait()
    for server in servers:
        server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait({task})


asyncio.run(main())
