"""Speed side by side: `python -m ci.bench check` or any other module of `bench/`, with its own options."""

import importlib
from pathlib import Path

from << cookiecutter.__package >>.outcome import Unjudged

BENCH = Path(__file__).resolve().parent.parent / "bench"


def main(arguments: list[str]) -> int | None:
    names = sorted(path.stem for path in BENCH.glob("[a-z]*.py"))
    if not arguments or arguments[0] not in names:
        raise Unjudged(f"there is no benchmark {arguments[:1]}", f"Say one of: {', '.join(names)}.")
    return importlib.import_module(f"bench.{arguments[0]}").main(arguments[1:])
