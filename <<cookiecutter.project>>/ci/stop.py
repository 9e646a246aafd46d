"""End every process of staging and production on this target; what they were given stays on record."""

from deploy.chosen import target
from deploy.target import ENVIRONMENTS


def main(arguments: list[str]) -> None:
    place = target()
    for environment in arguments or ENVIRONMENTS:
        with place.store.hold(environment, "stop", 60):
            stopped = place.stop(environment)
        print(f"stop: {environment} {'stopped' if stopped else 'was not running'}")
