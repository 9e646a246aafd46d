"""`python -m ci` lists the words; `python -m ci <word>` is the same as `python -m ci.<word>`."""

import importlib
import os
import sys

from ci.environment import INSIDE, enter, groups
from ci.words import WORDS


def main() -> int:
    if len(sys.argv) < 2:
        width = max(map(len, WORDS))
        print("\n".join(f"make {name:<{width}}  {word.about}" for name, word in WORDS.items()))
        return 0
    name, arguments = sys.argv[1], sys.argv[2:]
    if name not in WORDS or os.environ.get(INSIDE) != "-".join(groups(name)):
        enter(name, arguments)

    from << cookiecutter.__package >>.outcome import run

    return run(name, lambda given: importlib.import_module(f"ci.{name}").main(given), arguments)


sys.exit(main())
