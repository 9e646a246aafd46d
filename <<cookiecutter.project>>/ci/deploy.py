"""Put the package in build/ on staging, or start again what production was last given."""

import argparse
from pathlib import Path

import yaml

from ci.image import trust
from deploy.chosen import target
from deploy.history import History
from deploy.store import read
from deploy.target import ENVIRONMENTS, ROOT, Release, Running, Target, start
from << cookiecutter.__package >>.outcome import Unjudged

PACKAGE = Path("build", "package.json")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__)
    parser.add_argument("--to", choices=ENVIRONMENTS, default="staging")
    environment = parser.parse_args(arguments).to
    gates = yaml.safe_load((ROOT / "gates.yaml").read_text())
    limits, place = gates["release"], target()
    with place.store.hold(environment, "deploy", limits["wait_s"]):
        before = place.running(environment)
        if environment == "staging":
            print(f"deploy: the package is {trust.check(ROOT / PACKAGE, gates['image'])}")
            release = place.add(ROOT / PACKAGE)
        elif before:
            release = before.release
        else:
            raise Unjudged("nothing was ever promoted to production", "Deploy to staging, verify, load, then promote.")
        start(place, environment, release)
        if environment == "staging":
            place.forget_others([release, *History(place.store).needed(limits["keep"])])
    instead = f" in place of {before.release}" if before and before.release != release else ""
    print(f"deploy: {environment} runs {release}{instead} at {place.address(environment)}")


def staged(place: Target, root: Path) -> Running:
    """What staging runs; raises Unjudged where that is nothing, or another release than the package in root's build/.

    Where two pipelines deploy in turn, as GitLab lets them, neither tests or promotes what the other has brought.
    """
    running, package = place.running("staging"), read(root / PACKAGE)
    if running is None:
        raise Unjudged("staging runs nothing", "Deploy first.")
    if package and Release.of(package) != running.release:
        what = f"staging runs {running.release}, and build/ holds {Release.of(package)} of commit {package['git_sha']}"
        raise Unjudged(what, "Another release was deployed meanwhile: it goes on, or `deploy` this one again.")
    return running
