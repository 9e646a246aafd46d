"""Smoke test, and training-serving skew: the answers of what is deployed against the recorded predictions."""

import argparse
from typing import Any

import yaml

from ci.deploy import staged
from deploy.chosen import target
from deploy.client import Client
from deploy.releases import rows
from deploy.store import write
from deploy.target import ENVIRONMENTS, ROOT, Release
from load.payloads import difference
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

BATCH = 100  # rows; the same rows are also asked for one at a time, which takes another path in the service
Rows = list[dict[str, Any]]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("--on", choices=ENVIRONMENTS, default="staging")
    environment = parser.parse_args(arguments).on
    gate = yaml.safe_load((ROOT / "gates.yaml").read_text())["verify"]
    place = target()
    running = staged(place, ROOT) if environment == "staging" else place.running(environment)
    if not running:
        raise Unjudged(f"{environment} runs nothing", "Deploy first.")
    report = {"environment": environment, "version": running.release.version, "digest": running.release.digest}
    name = "verify.json" if environment == "staging" else f"verify-{environment}.json"
    (ROOT / "reports" / name).unlink(missing_ok=True)  # a crash leaves no earlier verdict behind
    try:
        smoke(place.address(environment), running.release)
        report |= skew(place.address(environment), running.release, recorded(running.release), gate)
        report["verdict"] = "pass"
    except Bad as error:
        report |= {"verdict": "fail", "why": error.what}
        raise
    finally:
        if "verdict" in report:
            write(ROOT / "reports" / name, report)
    print(f"verify: {environment} answers as {running.release}; {report['rows']} recorded predictions, "
          f"largest difference {report['largest_difference']:.2g}")  # fmt: skip


def smoke(address: str, release: Release) -> None:
    """One request of each kind; raises Bad if the service is not ready, not right, or not this release."""
    with Client(address) as client:
        for path in ("/readyz", "/metrics"):
            status, _ = client.ask("GET", path)
            if status != 200:
                raise Bad(f"{path} answers {status}", f"Look at {address}{path} and at the service's log.")
        answers(client, release, [SCHEMA.example()])


def answers(client: Client, release: Release, rows: Rows) -> Rows:
    """The predictions for the rows; raises Bad unless the release itself answers with one for each."""
    status, answer = client.predict(rows)
    if status != 200 or len(answer.get("predictions", [])) != len(rows):
        what = f"/predict answers {status} to {len(rows)} valid rows: {str(answer)[:300]}"
        raise Bad(what, "See the service's log.")
    if answer["model_version"] != release.version:
        what = f"version {answer['model_version']} answers instead of {release}"
        raise Bad(what, "Something else serves on this port, or an old process lives on: see `make status`.")
    return answer["predictions"]


def skew(address: str, release: Release, expected: tuple[Rows, Rows], gate: dict[str, Any]) -> dict[str, Any]:
    """Compare the answers with the recorded predictions, all rows in batches and one at a time; raises Bad."""
    rows, predictions = expected
    if len(rows) < gate["minimum_rows"]:
        what = f"only {len(rows)} predictions are recorded, {gate['minimum_rows']} are asked for"
        raise Unjudged(what, "Widen params.yaml's `split.test`, or lower gates.yaml's `verify.minimum_rows`.")
    largest, tolerance = 0.0, float(gate["tolerance"])
    with Client(address) as client:
        for size in (BATCH, 1):
            for start in range(0, len(rows), size):
                chosen = slice(start, start + size)
                pairs = zip(answers(client, release, rows[chosen]), predictions[chosen], strict=True)
                for number, (one, other) in enumerate(pairs, start):
                    largest = max(largest, off := difference(one, other))
                    if not off <= tolerance:
                        what = f"skew: row {number} of {len(rows)}, asked {size} at a time: {one} instead of {other}"
                        raise Bad(what, "What is packaged is not what was evaluated: compare the graph and its inputs.")
    return {"rows": len(rows), "largest_difference": largest, "tolerance": tolerance}


def recorded(release: Release) -> tuple[Rows, Rows]:
    """The rows of the evaluation that the package carries, and the prediction that was recorded for each."""
    content = rows(release)
    if not content:
        what = f"the rows of {release} are not here"
        raise Unjudged(what, "Call it where it was deployed, or call `make package` and `make deploy` again.")
    return content["rows"], content["predictions"]
