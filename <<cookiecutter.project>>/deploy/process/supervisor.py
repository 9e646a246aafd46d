"""Keeps an environment's releases answering on one port: FOLDER HOST PORT LOG_BYTES LOG_FILES are its arguments.

This process owns the listening sockets and never answers a request itself. Its workers inherit a socket, so a
connection that arrives while a worker is replaced or restarted waits in the kernel and is not lost. SIGHUP announces
an order, SIGTERM ends everything. Standard library only, so that it depends on no environment that a later deployment
changes.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from deploy.process.slots import Slots
from deploy.process.worker import LOG, Worker, end_orphans, take

TICK_S = 5


class Supervisor:
    """`next.json` holds an order: begin, share, finish or settle. `release.json` is the present release.

    `state.json` says how the last order went, and what there is now. The candidate lives as long as this process: who
    finds only the present release after a restart begins anew.
    """

    def __init__(self, folder: Path, slots: Slots, log_bytes: int, log_files: int) -> None:
        self.folder, self.slots = folder, slots
        self.log_bytes, self.log_files = log_bytes, log_files
        self.present: list[Worker] = []
        self.candidate: list[Worker] = []
        self.slot = 0  # the present release's
        self.share = 0.0  # the candidate's, in percent
        self.changed = asyncio.Event()  # there may be something to do, or to report
        self.outcome: dict = {}  # of the last order: its id, and why it failed
        self.written: dict = {}

    async def run(self) -> None:
        await self.resume()
        try:
            while True:
                with contextlib.suppress(FileNotFoundError):
                    await self.obey((self.folder / "next.json").replace(self.folder / "trying.json"))
                self.note()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), TICK_S)
                self.changed.clear()
        finally:
            self.slots.close()
            await self.end([*self.present, *self.candidate])

    async def resume(self) -> None:
        """Run the present release, if there is one, whatever a killed supervisor has left of it."""
        (self.folder / "trying.json").unlink(missing_ok=True)
        if (self.folder / "release.json").exists():
            try:
                self.present = self.made(json.loads((self.folder / "release.json").read_text()), self.slot)
                for worker in self.present:
                    await worker.start()
                    worker.keeper = asyncio.create_task(worker.keep())
            except OSError as error:  # its files are gone: another release can still be asked for
                LOG.error("the present release cannot be started: %s", error)

    def made(self, spec: dict, slot: int) -> list[Worker]:
        return [Worker(self.folder, self.slots.listeners[slot], spec, self.changed) for _ in range(spec["workers"])]

    async def obey(self, asked: Path) -> None:
        order = json.loads(asked.read_text())
        self.outcome = {"id": order["id"], "failed": None}
        try:
            match order["do"]:
                case "begin":
                    await self.begin(order["release"])
                case "share":
                    self.divide(order["percent"])
                case "finish":
                    await self.finish()
                case "settle":
                    await self.settle()
        except RuntimeError as error:
            self.outcome["failed"] = str(error)
            LOG.error("%s", error)
        asked.unlink()

    async def begin(self, spec: dict) -> None:
        """Start the candidate in the free slot; raises RuntimeError, and leaves nothing of it, if it is not ready."""
        await self.settle()
        await self.slots.free()
        log = self.folder / "logs" / "service.log"
        before = log.stat().st_size if log.exists() else 0
        self.candidate = self.made(spec, 1 - self.slot)
        try:
            async with asyncio.timeout(spec["ready_s"]):
                for worker in self.candidate:
                    await worker.start()
                await asyncio.gather(*(worker.ready() for worker in self.candidate))
        except (OSError, RuntimeError, TimeoutError) as error:
            await self.settle()
            why = str(error) or f"it was not ready within {spec['ready_s']:g} s"
            raise RuntimeError(why + last_line(log, before)) from error

    def divide(self, percent: float) -> None:
        if not self.candidate:
            raise RuntimeError("there is no candidate: its supervisor was restarted")
        self.share = self.slots.share(1 - self.slot, percent)

    async def finish(self) -> None:
        """The candidate becomes the present release, and answers alone."""
        self.divide(100)
        former, self.present, self.candidate = self.present, self.candidate, []
        self.slot, self.share = 1 - self.slot, 0.0
        partial = self.folder / ".release.json"
        partial.write_text(json.dumps(self.present[0].spec))
        partial.replace(self.folder / "release.json")
        await self.slots.rescue(1 - self.slot)
        await self.end(former)
        LOG.info("version %s answers", self.present[0].spec["release"]["version"])

    async def settle(self) -> None:
        """The present release answers alone; the candidate, if there is one, ends."""
        self.slots.share(self.slot, 100)
        former, self.candidate, self.share = self.candidate, [], 0.0
        if former:
            await self.slots.rescue(1 - self.slot)
            await self.end(former)

    async def end(self, workers: list[Worker]) -> None:
        await asyncio.gather(*(worker.stop() for worker in workers))

    def note(self) -> None:
        """Write down how things are, and keep the logs short; the service runs on where neither can be done."""
        state = self.outcome | {"share": self.share}
        for name, workers in (("present", self.present), ("candidate", self.candidate)):
            state[name] = {
                "release": workers[0].spec["release"], "addresses": [worker.address for worker in workers],
                "restarts": sum(worker.restarts for worker in workers),
            } if workers else None  # fmt: skip
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
            supervisor = Supervisor(folder, Slots(host, port), log_bytes, log_files)
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
