"""A service of the same contract as the generated one, whose faults are chosen: `python double.py PORT '{fault: …}'`.

Faults: `delay_ms` before every answer; `errors`: every so many requests gets a 500; `version`: this one answers from
the second request on; `predictions`: so many instead of one for each row; `wrong`: every so many requests gets another
prediction; `silent`: no answer after so many requests; `ends`: the process ends with that one;
`refuses`: every request is one of another schema.
"""

import asyncio
import json
import os
import sys
from itertools import count

PORT, FAULTS = int(sys.argv[1]), json.loads(sys.argv[2])
VERSION = "3"
NUMBER, SEEN = count(1), count(1)


def right(row: dict) -> float:
    return row["minute"] / 100


def answer(path: str, body: bytes) -> tuple[int, dict]:
    if path != "/predict":
        return 200, {}
    if "refuses" in FAULTS:
        return 422, {"error": "another schema"}
    number = next(NUMBER)
    if number == FAULTS.get("ends"):
        os._exit(0)
    if number % FAULTS.get("errors", number + 1) == 0:
        return 500, {"error": "chosen"}
    scores = [right(row) for row in json.loads(body)["rows"]]
    if number % FAULTS.get("wrong", number + 1) == 0:
        scores = [score / 2 + 0.3 for score in scores]
    scores = scores[: FAULTS.get("predictions", len(scores))]
    version = FAULTS.get("version", VERSION) if number > 1 else VERSION
    return 200, {"model_version": version, "request_id": "1", "predictions": [{"probability": one} for one in scores]}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = [line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")]
            body = await reader.readexactly(int(length[0])) if length else b""
            path = head.split()[1]
            if path == "/predict":
                await asyncio.sleep(FAULTS.get("delay_ms", 0) / 1000)
                if next(SEEN) > FAULTS.get("silent", sys.maxsize):
                    await asyncio.Event().wait()
            status, content = answer(path, body)
            text = json.dumps(content).encode()
            writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=512)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
