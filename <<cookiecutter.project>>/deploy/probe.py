"""A bounded load of single rows, each on a new connection, as callers send them who know nothing of a release."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from deploy.client import Client
from << cookiecutter.__package >>.outcome import Bad

CALLERS = 8
LOOK_S = 0.25


def probe(
    address: str, rows: Sequence[dict[str, Any]], rate: float, enough: Callable[[], bool], limit_s: float
) -> tuple[int, int]:
    """Send one row after the other, so many a second, until `enough` or for `limit_s`.

    Returns how many were sent and how many of them got no answer; what is answered is the service's own to count.
    Raises whatever `enough` raises.
    """
    numbers, over, unanswered = itertools.count(), threading.Event(), []
    begun = time.monotonic()

    def ask() -> None:
        while not over.is_set():
            number = next(numbers)
            over.wait(begun + number / rate - time.monotonic())
            try:
                with Client(address) as client:
                    client.predict([rows[number % len(rows)]])
            except Bad:
                unanswered.append(number)

    callers = [threading.Thread(target=ask, daemon=True) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        while not enough() and time.monotonic() < begun + limit_s:
            time.sleep(LOOK_S)
    finally:
        over.set()
        for caller in callers:
            caller.join()
    return next(numbers), len(unanswered)
