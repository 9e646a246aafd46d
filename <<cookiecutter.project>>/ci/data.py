"""`data`: bring tracked files into place with `dvc pull`.

`python -m ci.data [TARGET…]` pulls the targets (paths, `.dvc` files or stages), by default the raw data; with `--push`
it sends them to the remote instead, by default everything that git records. `ci/remote.py` says how the remote is
reached. Whatever fails ends with 2 and leaves no half-written file.
"""

import argparse
import time
from pathlib import Path

from ci.remote import pull, push, raw


def main(arguments: list[str]) -> int | None:
    parser = argparse.ArgumentParser("data", description="Pull data from the DVC remote, or push it there.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: data/raw/*.dvc; with --push everything")
    parser.add_argument("--push", action="store_true", help="send to the remote what it lacks")
    given = parser.parse_args(arguments)
    start = time.monotonic()
    if given.push:
        sent = push(given.targets)
        print(f"data: {sent or 'nothing'} pushed{'' if sent else ': the remote has it all'}")
        return None
    targets = given.targets or raw()
    print(f"data: pulling {', '.join(targets)}", flush=True)
    files, fetched = pull(targets)
    size = sum(Path(file.path).stat().st_size for file in files) / 1e6
    took = time.monotonic() - start
    print(f"data: {len(files)} file{'s' * (len(files) != 1)} in place ({size:.1f} MB), {fetched} fetched, {took:.1f} s")
    return None
