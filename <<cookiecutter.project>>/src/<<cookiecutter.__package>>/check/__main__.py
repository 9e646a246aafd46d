"""The stage `check`: judges the data set and leaves the verdict in `reports/`."""

import sys
from pathlib import Path

from ..outcome import run
from . import page


def main(arguments: list[str]) -> None:
    page.check(Path("reports"))


if __name__ == "__main__":
    sys.exit(run("check", main, sys.argv[1:]))
