"""Keeps one release answering on one port: `python -m deploy.supervisor FOLDER HOST PORT LOG_BYTES LOG_FILES`.

This process owns the listening socket and never answers a request itself. Its workers inherit the socket, so a
connection that arrives while a worker is replaced or restarted waits in the kernel and is not lost. SIGHUP announces
a release to run, SIGTERM ends everything. Standard library only, so that it depends on no environment that a later
deployment changes.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

from deploy.worker import LOG, Worker, end_orphans, take

TICK_S = 5


class Supervisor:
    """`next.json` asks for a release; once it is ready it becomes `release.json`. `state.json` says how it went."""

    def __init__(self, folder: Path, listener: socket.socket, log_bytes: int, log_files: int) -> None:
        self.folder, self.listener = folder, listener
        self.log_bytes, self.log_files = log_bytes, log_files
        self.workers: list[Worker] = []
        self.changed = asyncio.Event()  # there may be something to do, or to report
        self.outcome: dict = {}  # of the last request: its id, and why it failed
        self.written: dict = {}

    async def run(self) -> None:
        await self.resume()
        try:
            while True:
                with contextlib.suppress(FileNotFoundError):
                    await self.replace((self.folder / "next.json").replace(self.folder / "trying.json"))
                self.note()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), TICK_S)
                self.changed.clear()
        finally:
            self.listener.close()
            await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def resume(self) -> None:
        """Run the present release, if there is one, whatever a killed supervisor has left of it."""
        (self.folder / "trying.json").unlink(missing_ok=True)
        if (self.folder / "release.json").exists():
            try:
                for worker in self.add(self.folder / "release.json"):
                    await worker.start()
                    worker.keeper = asyncio.create_task(worker.keep())
            except OSError as error:  # its files are gone: another release can still be asked for
                LOG.error("the present release cannot be started: %s", error)

    def add(self, asked: Path) -> list[Worker]:
        spec = json.loads(asked.read_text())
        fresh = [Worker(self.folder, self.listener, spec, self.changed) for _ in range(spec["workers"])]
        self.workers += fresh
        return fresh

    async def replace(self, asked: Path) -> None:
        """Start the asked release beside the present one; when all its workers are ready, drain the present ones."""
        log = self.folder / "logs" / "service.log"
        before, present = log.stat().st_size if log.exists() else 0, self.workers.copy()
        fresh = self.add(asked)
        spec = fresh[0].spec
        self.outcome = {"id": spec["id"], "failed": None}
        try:
            async with asyncio.timeout(spec["ready_s"]):
                for worker in fresh:
                    await worker.start()
                await asyncio.gather(*(worker.ready() for worker in fresh))
        except (OSError, RuntimeError, TimeoutError) as error:
            await asyncio.gather(*(worker.stop() for worker in fresh))
            self.workers = present
            asked.unlink()
            why = str(error) or f"it was not ready within {spec['ready_s']:g} s"
            self.outcome["failed"] = why + last_line(log, before)
            LOG.error("version %s: %s", spec["version"], self.outcome["failed"])
        else:
            asked.replace(self.folder / "release.json")
            await asyncio.gather(*(worker.stop() for worker in present))
            self.workers = fresh
            LOG.info("version %s answers", spec["version"])

    def note(self) -> None:
        """Write down how things are, and keep the logs short; the service runs on where neither can be done."""
        state = {**self.outcome, "restarts": sum(worker.restarts for worker in self.workers)}
        try:
            if state != self.written:
                partial = self.folder / ".state.json"
                partial.write_text(json.dumps(state))
                partial.replace(self.folder / "state.json")
                self.written = state
            for log in (self.folder / "logs").glob("*.log"):
                trim(log, self.log_bytes, self.log_files)
        except OSError as error:
            LOG.error("%s", error)


def last_line(log: Path, start: int) -> str:
    """The last line that was written to the log from the offset `start` on."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").split("\n")
    return next((f": {line.strip()[:300]}" for line in reversed(lines) if line.strip()), "")


def trim(log: Path, most: int, files: int) -> None:
    """Move what is in a log that has grown beyond `most` bytes aside, and keep so many of these."""
    if log.stat().st_size <= most:
        return
    older = [log.with_name(f"{log.name}.{number}") for number in range(1, files + 1)]
    for newer, old in reversed(list(itertools.pairwise(older))):
        if newer.exists():
            newer.replace(old)
    shutil.copyfile(log, older[0])
    os.truncate(log, 0)  # the writers append, so they go on at the start


async def serve(folder: Path, host: str, port: int, log_bytes: int, log_files: int) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: task.cancelling() or task.cancel())
    pid = folder / "supervisor.pid"
    with pid.open("a+") as lock:
        await take(lock)
        lock.truncate(0)
        await end_orphans(folder / "workers")
        try:
            with socket.create_server((host, port), backlog=2048) as listener:
                supervisor = Supervisor(folder, listener, log_bytes, log_files)
                loop.add_signal_handler(signal.SIGHUP, supervisor.changed.set)
                lock.write(str(os.getpid()))
                lock.flush()
                await supervisor.run()
        finally:
            pid.unlink()


def main(arguments: list[str]) -> None:
    folder, host, port, log_bytes, log_files = arguments
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(serve(Path(folder), host, int(port), int(log_bytes), int(log_files)))


if __name__ == "__main__":
    main(sys.argv[1:])
