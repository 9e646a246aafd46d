"""How this project ships: one module for each word, run as `python -m ci.<word>`.

Importing this package for `python -m ci.<word>` moves the process into the smallest environment that the word needs,
before the word's own imports; `ci/__main__.py` then runs it. Any Python 3.10 or later will do as a start.
"""

import sys

if sys.argv[:1] == ["-m"] and sys.version_info < (3, 10):
    sys.stderr.write("ci: Python 3.10 or later is needed to start, this is %d.%d\n" % sys.version_info[:2])  # noqa: UP031
    sys.exit(2)

if sys.argv[:1] == ["-m"]:
    _module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    if _module.startswith("ci."):
        from ci.environment import enter

        enter(_module.removeprefix("ci."), sys.argv[1:])
