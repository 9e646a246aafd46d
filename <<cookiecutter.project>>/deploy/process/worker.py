"""One service process on a socket that it shares. Standard library only, as its supervisor.

A lock on `workers/<pid>`, inherited by the process and dropped by the kernel with it, says who is alive.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import IO

LOG = logging.getLogger("supervisor")
LONGEST_PAUSE_S = 30
ORPHAN_S = 10
PROBE_S = 10
SILENT_PROBES = 3


def held(path: Path) -> bool:
    """Whether a living process holds the lock on `path`: a pid may be used again, a lock cannot."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


async def take(file: IO[str]) -> None:
    """Lock `file` for the life of this process; raises BlockingIOError if another process holds it for a second."""
    for _ in range(20):  # `held` itself holds it for an instant
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        await asyncio.sleep(0.05)
    raise BlockingIOError(f"{file.name} is held by another supervisor")


class Worker:
    """One service process of a release: started, asked whether it is ready, kept alive, drained."""

    def __init__(self, folder: Path, listener: socket.socket, spec: dict, changed: asyncio.Event) -> None:
        self.folder, self.listener, self.spec, self.changed = folder, listener, spec, changed
        self.process: asyncio.subprocess.Process | None = None
        self.keeper: asyncio.Task | None = None
        self.restarts = 0
        self.address: tuple[str, int] | None = None

    async def start(self) -> None:
        """Spawn the process with the shared socket and a private one, on which only this process answers."""
        spec, workers = self.spec, self.folder / "workers"
        workers.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=workers)
        with (
            open(handle, "w") as lock,
            open(self.folder / "logs" / "service.log", "ab") as log,
            socket.create_server(("127.0.0.1", 0)) as private,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            shared, own = self.listener.fileno(), private.fileno()
            self.process = await asyncio.create_subprocess_exec(
                *spec["command"], "--fd", str(shared), "--fd", str(own), pass_fds=(shared, own, lock.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=spec["directory"], env=spec["variables"],
            )  # fmt: skip
            self.address = private.getsockname()
        self.pid_file = Path(name).rename(workers / str(self.process.pid))
        LOG.info("version %s: process %d started", spec["release"]["version"], self.process.pid)

    async def ready(self) -> None:
        """Return when the process answers /readyz with 200; raises RuntimeError if it ends before."""
        while self.process.returncode is None:
            if await self.status() == 200:
                self.keeper = asyncio.create_task(self.keep())
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"it ended with exit code {self.process.returncode}")

    async def status(self) -> int | None:
        """The status of this very process's /readyz; None where it does not answer."""
        try:
            async with asyncio.timeout(PROBE_S):
                reader, writer = await asyncio.open_connection(*self.address)
                with contextlib.closing(writer):
                    writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    return int((await reader.readexactly(12))[-3:])
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None

    async def ended(self) -> int:
        """Wait for the process to end and return its exit code; one that leaves probe after probe open is killed."""
        silent = 0
        while silent < SILENT_PROBES:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self.process.wait(), PROBE_S)
            silent = 0 if await self.status() else silent + 1
        LOG.warning("process %d does not answer: killed", self.process.pid)
        self.process.kill()
        return await self.process.wait()

    async def keep(self) -> None:
        """Bring the process back whenever it ends, after a pause that doubles while it does not last a minute."""
        quick = 0
        while True:
            began = time.monotonic()
            code = await self.ended()
            self.pid_file.unlink(missing_ok=True)
            quick = 0 if time.monotonic() - began > 60 else quick + 1
            pause = min(0.05 * 2**quick, LONGEST_PAUSE_S)
            LOG.warning("process %d ended with exit code %d; again in %.1f s", self.process.pid, code, pause)
            self.restarts += 1
            self.changed.set()
            await asyncio.sleep(pause)
            try:
                await self.start()
            except OSError as error:
                LOG.error("cannot be started: %s", error)

    async def stop(self) -> None:
        """Let the process finish what it has accepted; kill it after `drain_s`."""
        if self.keeper:
            self.keeper.cancel()
        if not self.process:
            return
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), self.spec["drain_s"])
            except TimeoutError:
                LOG.warning("process %d was not done after %g s: killed", self.process.pid, self.spec["drain_s"])
                self.process.kill()
                await self.process.wait()
        self.pid_file.unlink(missing_ok=True)


async def end_orphans(workers: Path) -> None:
    """End the workers of a supervisor that was killed: they still hold the socket."""
    for path in workers.glob("*"):
        for number in (signal.SIGTERM, signal.SIGKILL):
            if held(path):
                LOG.warning("process %s of a supervisor that was killed: %s", path.name, number.name)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(path.name), number)
                end = time.monotonic() + ORPHAN_S
                while held(path) and time.monotonic() < end:
                    await asyncio.sleep(0.05)
        path.unlink()
