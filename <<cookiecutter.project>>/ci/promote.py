"""Bring the release that staging runs, and that verify and load have passed, to production: the same digest.

Production, the aliases and the record change together or not at all. A promotion that was interrupted is completed,
or undone, by the next call.
"""

import argparse

from mlflow.tracking import MlflowClient

from ci import production, registry
from ci.deploy import staged
from deploy.chosen import target
from deploy.history import NAME, Change, History, line
from deploy.store import read
from deploy.target import ROOT, Release, Target, release_limits
from << cookiecutter.__package >>.outcome import Unjudged


def main(arguments: list[str]) -> None:
    argparse.ArgumentParser(prog="promote", description=__doc__).parse_args(arguments)
    limits = release_limits(ROOT)
    place = target()
    past = History(place.store)
    with place.store.hold(NAME, "promote", limits["wait_s"]):
        at = production.connect()
        production.settle(past, at)
        staged = place.running("staging")
        pending = past.under_way()
        if pending:
            resume(place, pending, limits, at)
        if not (pending and staged and pending["to"] == staged.release.dict() and not pending["back"]):
            promote(place, judged(place, at), limits, at)
        production.settled(past)


def resume(place: Target, pending: Change, limits: dict, at: MlflowClient) -> None:
    """End the change that an earlier call has left: forward, or back if it was being put back."""
    what = f"promote: the {pending['action']} of version {pending['to']['version']} of {pending['at']} was interrupted"
    if pending["back"]:
        print(f"{what}; {production.put_back(place, pending)}")
    else:
        production.complete(place, pending, limits, at)
        print(f"{what}; it is completed")


def promote(place: Target, case: tuple[Release, dict], limits: dict, at: MlflowClient) -> None:
    release, evidence = case
    past, running = line(History(place.store).ended()), place.running(NAME)
    if running and running.ready and running.release == release and past[-1:] == [release]:
        print(f"promote: production already runs {release}")
        return
    production.complete(place, production.begin(place, "promote", release, evidence, at), limits, at)
    print(f"promote: production runs {release} at {place.address(NAME)}")


def judged(place: Target, at: MlflowClient) -> tuple[Release, dict]:
    """The release that staging runs and the reports that passed exactly this one; raises Unjudged without them."""
    running = staged(place, ROOT)
    if not running.ready:
        raise Unjudged("staging runs nothing that answers", "Call deploy, verify and load, then promote.")
    release = running.release
    registered = registry.by_number(at, release.version)
    if not registered or registered.tags.get("model_md5") != release.model_md5:
        what = f"the registry at {registry.address()} does not know the model of {release}"
        raise Unjudged(what, "Call package, deploy, verify and load with this registry.")
    evidence = {word: passed(word, release) for word in ("verify", "load")}
    return release, evidence | {"gate": {name: tag for name, tag in registered.tags.items() if name.startswith("gate")}}


def passed(word: str, release: Release) -> dict:
    """The report of the word, if it passed this release on staging; raises Unjudged otherwise."""
    report = read(ROOT / "reports" / f"{word}.json")
    remedy = f"Call `make {word}` on what staging runs now."
    if report is None:
        raise Unjudged(f"{word} has not judged {release}", remedy)
    if (report["environment"], report["digest"]) != ("staging", release.digest):
        what = f"{word} has judged version {report['version']} on {report['environment']}, not {release}"
        raise Unjudged(what, remedy)
    if report["verdict"] != "pass":
        raise Unjudged(f"{word} did not pass {release}: {report['verdict']}", "Nothing is promoted without a pass.")
    return report
