"""`python -m service`: the application of `bentoml serve`, in one process and without BentoML's supervisor.

    python -m service --port 3000          its own socket
    python -m service --fd 3               a listening socket that was inherited; may be given more than once

Run it in a Bento's `src` folder, or in the repository with `src` on PYTHONPATH. A supervisor that holds the socket
replaces a process without losing a request: start the new one with the same `--fd` (it accepts once its graph has
answered), then send SIGTERM to the old one. That one stops accepting, answers what is on its way and whatever its
callers still send with `Connection: close`, and exits with 0. SIGINT does the same without waiting for idle callers.
"""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from time import monotonic

import uvicorn

from service.front import Front
from service.model import model
from service.service import Predictor


class Server(uvicorn.Server):
    """uvicorn, with a state between serving and stopping in which callers are sent away politely."""

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self.front = front
        self.polite = True

    def handle_exit(self, sig: int, frame) -> None:
        self.front.draining = True
        self.polite = sig == signal.SIGTERM and self.polite
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        until = monotonic() + self.front.limits.drain_seconds
        while self.polite and self.server_state.connections and monotonic() < until:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m service", description="Serve the model over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--fd", type=int, action="append", help="an inherited listening socket, not a port")
    given = parser.parse_args(arguments)

    for name in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the signal again once it has stopped cleanly
        signal.signal(name, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        model()
    except Exception as error:  # onnxruntime's own errors share no base class
        logging.critical("the model cannot be served: %s", str(error).partition("\n")[0])
        return 1
    front = Predictor.to_asgi()
    config = uvicorn.Config(
        front,
        host=given.host,
        port=given.port,
        loop="uvloop",
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=front.limits.connections,
        timeout_keep_alive=front.limits.keep_alive_seconds,
    )
    Server(config, front).run([socket.socket(fileno=number) for number in given.fd] if given.fd else None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
