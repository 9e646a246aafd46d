"""How everything here ends: 0 good, 1 judged bad, 2 could not be judged.

The first line of a failure says what happened, the last what to do about it.
"""

import sys
import traceback
from collections.abc import Callable

FULL = ("no space left on device", "disk quota exceeded", "disk is full")  # as the kernel and SQLite say it


class Outcome(Exception):
    """A run that ends early with one sentence on what happened and one on what to do."""

    code = 2

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class Bad(Outcome):
    """Judged, and found bad: the data, the candidate, the release."""

    code = 1


class Unjudged(Outcome):
    """Could not be judged: nothing to judge, too little of it, or a tool that failed."""

    code = 2


def run(name: str, main: Callable[[list[str]], int | None], arguments: list[str]) -> int:
    """Run `main(arguments)` and turn whatever it raises into an exit code and a message on standard error.

    A crash is never a verdict: an unexpected exception gives 2, with its traceback above the message.
    """
    try:
        return main(arguments) or 0
    except Outcome as outcome:
        print(f"{name}: {outcome.what}", file=sys.stderr)
        if outcome.remedy:
            print(f"  -> {outcome.remedy}", file=sys.stderr)
        return outcome.code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 2
    except Exception as error:
        if any(mark in str(error).lower() for mark in FULL):
            print(f"{name}: the disk is full: {str(error)[:300]}", file=sys.stderr)
            print("  -> Make room there, then call again.", file=sys.stderr)
            return 2
        traceback.print_exc()
        print(f"{name}: crashed with {type(error).__name__}: {error}", file=sys.stderr)
        print("  -> This is a fault in the code or its environment, not a verdict; see above.", file=sys.stderr)
        return 2
