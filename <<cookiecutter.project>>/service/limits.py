"""What the service refuses, so that no caller can make it grow, wait or fall over.

Each limit can be set by an environment variable of the process: `SERVICE_ROWS=200`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, characters or rows; times in seconds."""

    body: int = 1024 * 1024
    rows: int = 1_000
    connections: int = 2_000  # one more is answered 503 and closed; kept by `python -m service`
    text: int = 64  # characters of a category that is open
    waiting: int = 128  # requests read and not yet answered; one more is answered 503
    large: int = 64 * 1024  # a larger body is computed in a thread, so that small ones do not wait for it
    waiting_large: int = 8
    arriving: int = 64  # bodies that come in pieces, so that slow callers cannot fill the memory
    body_seconds: int = 10  # for a body to arrive
    keep_alive_seconds: int = 75  # longer than load balancers keep a connection idle, so that they close it
    drain_seconds: int = 5  # after SIGTERM, for clients to be told to reconnect before idle connections are closed

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """The limits of this process; raises ValueError for a value that is not a positive whole number."""
        given = {}
        for field in fields(cls):
            name = f"SERVICE_{field.name.upper()}"
            if name in environment:
                given[field.name] = int(environment[name]) if environment[name].isdecimal() else 0
                if not given[field.name]:
                    raise ValueError(f"{name} must be a positive whole number")
        return cls(**given)
