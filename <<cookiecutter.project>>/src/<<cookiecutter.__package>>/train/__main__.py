"""The stage `train`."""

import sys

from ..outcome import run
from .stage import main

if __name__ == "__main__":
    sys.exit(run("train", main, sys.argv[1:]))
