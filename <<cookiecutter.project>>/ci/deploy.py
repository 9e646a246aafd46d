"""Put the package in build/ on staging, or start again what production was last given."""

import argparse
from pathlib import Path

import yaml

from deploy import history
from deploy.lock import hold
from deploy.target import ENVIRONMENTS, ROOT, target
from << cookiecutter.__package >>.outcome import Unjudged

PACKAGE = Path("build", "package.json")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__)
    parser.add_argument("--to", choices=ENVIRONMENTS, default="staging")
    environment = parser.parse_args(arguments).to
    limits = yaml.safe_load((ROOT / "gates.yaml").read_text())["release"]
    place = target()
    with hold(environment, "deploy", limits["wait_s"]):
        before = place.running(environment)
        if environment == "staging":
            release = place.add(ROOT / PACKAGE)
        elif before:
            release = before.release
        else:
            raise Unjudged("nothing was ever promoted to production", "Deploy to staging, verify, load, then promote.")
        place.start(environment, release)
        if environment == "staging":
            place.forget_others([release, *history.needed(limits["keep"])])
    instead = f" in place of {before.release}" if before and before.release != release else ""
    print(f"deploy: {environment} runs {release}{instead} at {place.address(environment)}")
