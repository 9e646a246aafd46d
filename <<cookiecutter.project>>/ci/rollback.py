"""Bring production back to its previous release, or to the named version: what runs, the aliases, the record.

It needs neither the current release nor the registry: releases are kept here, and the record waits for the registry.
"""

import argparse

from ci import production
from deploy.chosen import target
from deploy.history import NAME, History, line
from deploy.target import ROOT, Release, Target, release_limits
from << cookiecutter.__package >>.outcome import Unjudged


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="rollback", description=__doc__)
    parser.add_argument("version", nargs="?", help="a version that production has run; by default the previous one")
    version = parser.parse_args(arguments).version
    limits = release_limits(ROOT)
    place = target()
    past = History(place.store)
    with place.store.hold(NAME, "rollback", limits["wait_s"]):
        pending = past.under_way()
        if pending and not version and pending["action"] == "promote":
            print(f"rollback: the promotion of version {pending['to']['version']} was interrupted")
            print(f"rollback: {production.put_back(place, pending)}")
        else:
            back_to(place, wanted(place, version), limits)
        production.settled(past)


def back_to(place: Target, release: Release, limits: dict) -> None:
    production.complete(place, production.begin(place, "rollback", release, {}), limits)
    print(f"rollback: production runs {release} at {place.address(NAME)}")


def wanted(place: Target, version: str | None) -> Release:
    """The release to go back to; raises Unjudged where there is none, or its files are gone."""
    changes = History(place.store).ended()
    ran = [Release.of(change["to"]) for change in changes if change["outcome"] == "done"]
    if version:
        found = [release for release in ran if release.version == version]
        what = f"production has never run version {version}"
    else:
        found, what = line(changes)[:-1], "production has no previous release"
    if not found:
        versions = ", ".join(dict.fromkeys(release.version for release in ran)) or "none"
        raise Unjudged(what, f"Versions that it has run: {versions}. `make rollback ARGS=VERSION` names one.")
    if not place.kept(found[-1]):
        what = f"{found[-1]} is no longer kept"
        raise Unjudged(what, "Check its git commit out, call package, deploy, verify, load and promote.")
    return found[-1]
