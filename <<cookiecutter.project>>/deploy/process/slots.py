"""Two listening sockets on one port, and the share of new connections that each gets. Standard library only.

The kernel divides: sockets that share a port by SO_REUSEPORT may carry a program that names the one for a connection
(socket(7), SO_ATTACH_REUSEPORT_CBPF). No process stands between caller and service, and no connection is ever refused,
since neither socket is closed while the other is in use.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct

ATTACH = 51  # SO_ATTACH_REUSEPORT_CBPF, which the socket module does not name
RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h: a random number instead of a packet's bytes
PARTS = 10_000
BACKLOG = 2048


class Slots:
    """Slot 0 and slot 1. Where the system cannot divide, both are one socket: the first to ask gets a connection."""

    def __init__(self, host: str, port: int) -> None:
        with socket.socket() as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))  # raises OSError where somebody listens already, which a shared port would not
        self.listeners = [listening(host, port)]
        self.divided = hasattr(socket, "SO_REUSEPORT")
        try:
            _attach(self.listeners[0], 1, 0)
            self.listeners.append(listening(host, port))
        except OSError:
            self.divided = False
            self.listeners *= 2
        self.stragglers: asyncio.Server | None = None
        self.address = self.listeners[0].getsockname()

    def share(self, slot: int, percent: float) -> float:
        """Send so many percent of new connections to the slot, the others to the other; returns what it gets."""
        if not self.divided:
            return 50.0 if 0 < percent < 100 else float(percent)
        _attach(self.listeners[0], slot, percent)
        return percent

    async def rescue(self, slot: int) -> None:
        """Hand on what still arrives at the slot, of which all new connections go to the other.

        A handshake that had begun before the share changed ends here, perhaps after the slot's last process.
        """
        if self.divided:
            self.stragglers = await asyncio.start_server(self._hand_on, sock=self.listeners[slot].dup())

    async def free(self) -> None:
        """End `rescue`: the slot is about to be used."""
        if self.stragglers:
            self.stragglers.close()
            self.stragglers = None

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(*self.address)
            with contextlib.closing(back):
                await asyncio.gather(_pump(reader, back), _pump(there, writer))

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()


def listening(host: str, port: int) -> socket.socket:
    """A listening socket that others of this process may share the port of, where the system knows that."""
    shared = {"reuse_port": True} if hasattr(socket, "SO_REUSEPORT") else {}
    return socket.create_server((host, port), backlog=BACKLOG, **shared)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
        writer.write_eof()


def _attach(listener: socket.socket, slot: int, percent: float) -> None:
    """Give the sockets of the port the program: slot if random % PARTS < percent of PARTS, else the other slot."""
    program = [
        (0x20, 0, 0, RANDOM),  # load a word
        (0x94, 0, 0, PARTS),  # modulo
        (0x35, 1, 0, round(percent * PARTS / 100)),  # jump over the next one if it is at least this
        (0x06, 0, 0, slot),  # return
        (0x06, 0, 0, 1 - slot),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    pointer = struct.pack("@HP", len(program), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, ATTACH, pointer)
