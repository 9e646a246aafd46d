"""`train`: `dvc repro` of every stage that is out of date, then one MLflow run for what it made.

A finished training outlives whatever fails after it: it is in DVC's cache and in `dvc.lock`, and `train` then pushes
or logs what is missing without training again. `--push` sends the outputs to the DVC remote, as pipelines do.
"""

import argparse
import json
import os
import time
from pathlib import Path

from ci.dvc import repro
from ci.lineage import MODEL, identity, recorded
from ci.machine import cost
from ci.machine.training import training
from ci.stale import stale
from << cookiecutter.__package >>.outcome import Unjudged

# What was last logged and where: spares a run with nothing to do the seconds that importing MLflow takes.
LOGGED = Path(".dvc/tmp/logged.json")


def main(arguments: list[str]) -> int | None:
    parser = argparse.ArgumentParser("train", description="Bring dvc.lock up to date and log the run to MLflow.")
    parser.add_argument("--push", action="store_true", help="then send data and models to the DVC remote")
    parser.add_argument("--if-stale", action="store_true", help="only where dvc.lock does not match; needs no outputs")
    given = parser.parse_args(arguments)
    if given.if_stale and not stale():
        print("train: dvc.lock matches the code: nothing to train")
        return None
    start = time.monotonic()
    with training(needed=stale) as heard:
        ran = repro([], heard)
    if "train" in ran:
        cost.keep(recorded()[MODEL])
    if given.push:
        from ci.remote import push

        print(f"train: {push() or 'nothing'} pushed to the DVC remote", flush=True)
    logged = log()
    took = f"{time.monotonic() - start:.1f} s"
    if not ran:
        print(f"train: nothing to train, dvc.lock is up to date ({took}){logged}")
        return None
    print(f"train: {', '.join(ran)} in {took}{logged}")
    print("train: next: `git add dvc.lock reports && git commit`, then `make report`")
    return None


def log() -> str:
    """Log what `dvc.lock` records to MLflow unless it is there; returns the end of a sentence about it."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    wanted = {"server": server, **identity(recorded())}
    there = server or Path("mlflow.db").exists()
    if there and LOGGED.exists() and json.loads(LOGGED.read_text()) == wanted:
        return ""
    from ci.track import track

    try:
        run, new = track()
    except Unjudged as error:
        what = f"dvc.lock and models/ are up to date, but the run is not logged: {error.what}"
        raise Unjudged(what, f"{error.remedy} Then `make train` again; it will not train again.") from error
    LOGGED.write_text(json.dumps(wanted))
    return f"; MLflow run {run}{'' if new else ', which was there'}"
