"""Reads the bodies of requests, so that neither large nor slow ones fill the memory."""

import asyncio

from service.limits import Limits
from service.request import Refused

DISCARDED = 16  # times the limit: how much of a body that is too large is read, so that the caller sees the answer


class Gone(Exception):
    """The caller hung up before the request was complete."""


class Bodies:
    """Of one process: it counts those on their way."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.arriving = 0

    async def read(self, receive) -> bytes:
        """The whole body; raises Gone, or Refused: 408 too slow, 413 too large, 503 too many on their way."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body = message.get("body", b"")
        if message.get("more_body"):
            body = await self.rest(body, receive)
        if len(body) > self.limits.body:
            raise Refused(413, f"at most {self.limits.body} bytes in one request")
        return body

    async def rest(self, first: bytes, receive) -> bytes:
        """The whole body, or as much of it as shows that it is too large."""
        if self.arriving >= self.limits.arriving:
            raise Refused(503, "overloaded with bodies on their way; try again in a second")
        parts, size, more = [first], len(first), True
        self.arriving += 1
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while more and size <= DISCARDED * self.limits.body:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= self.limits.body + len(part):
                        parts.append(part)
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {self.limits.body_seconds} s") from None
        finally:
            self.arriving -= 1
        return b"".join(parts)
