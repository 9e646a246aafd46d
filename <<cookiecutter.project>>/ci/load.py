"""`load`: Locust against the service-level objectives of `gates.yaml`, on what is deployed.

One-row and larger requests made of rows of the test window and of the schema's edges, at an even rate; the release in
production answers a share of them beside it, for a comparison under the same conditions. Latencies are raw samples of
right answers after the warm-up. Exit 1: an objective is missed. Exit 2: the run judges nothing: nothing answers,
another release answers, too few requests, or a generator that could not keep up.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from ci.deploy import staged
from ci.environment import ROOT
from deploy.chosen import target
from deploy.client import Client
from deploy.releases import rows
from deploy.store import read, write
from deploy.target import ENVIRONMENTS
from load.judge import Objective, Side, doubt, late, objectives, side
from << cookiecutter.__package >>.outcome import Bad, Outcome, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

REPORT, PAGE = ROOT / "reports" / "load.json", ROOT / "reports" / "load.html"
LOCUSTFILE = "load/locustfile.py"


def main(arguments: list[str]) -> int | None:
    for path in (REPORT, PAGE):
        path.unlink(missing_ok=True)  # a crash leaves no earlier verdict behind
    gates = yaml.safe_load((ROOT / "gates.yaml").read_text())
    given, gate = options(arguments, gates["load"]), gates["load"]
    case = subject(given)
    answering(case)
    case["champion"], beside = champion(given)
    asked = plan(case, given, gate, gates["verify"]["tolerance"])
    print(f"load: version {case['version']} at {case['address']}, {beside}")
    print(f"load: {given.rate:g} requests/s from {given.users} callers for {given.duration:g} s", flush=True)
    measured = locust(asked)
    samples = measured["samples"]
    service, other = side(samples["service"]), side(samples["champion"]) if asked["champion"] else None
    pair = (side([one for one in samples["service"] if one[-1]]), other) if other else None
    found = objectives(service, pair, given.duration, given.rate, gate)
    print("\n".join(table(found, service)), flush=True)
    outcome = judged(found, doubt(service, other, measured["generator"], gate, not all(one.met for one in found)))
    write(REPORT, summary(case, given, (service, other), found, measured["generator"], outcome))
    if outcome:
        raise outcome
    print(f"load: pass; {PAGE.relative_to(ROOT)}")
    return None


def options(arguments: list[str], gate: dict[str, Any]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--on", "--against", default="staging", metavar="PLACE", help=f"{', '.join(ENVIRONMENTS)} or an address")
    add("--version", help="the model version that has to answer; by default the one deployed")
    add("--champion", default="production", metavar="PLACE", help="what to compare with, or none")
    add("--duration", type=float, default=gate["duration_s"], metavar="S", help="measured seconds")
    add("--users", type=int, default=gate["users"], metavar="N", help="concurrent callers")
    add("--rate", type=float, default=gate["rate"], metavar="R", help="requests a second, of all callers")
    given = parser.parse_args(arguments)
    for name in ("duration", "users", "rate"):
        if not getattr(given, name) > 0:
            raise Unjudged(f"--{name} is {getattr(given, name)}", "Give a number above 0.")
    return given


def subject(given: argparse.Namespace) -> dict[str, Any]:
    """What is tested: its environment, address, the release that should answer, and the rows recorded for it."""
    if given.on not in ENVIRONMENTS:
        if "://" not in given.on:
            raise Unjudged(f"there is no environment {given.on!r}", f"Name {', '.join(ENVIRONMENTS)}, or an address.")
        if not given.version:
            raise Unjudged(f"which version should answer at {given.on} is not said", "Add --version.")
        return {
            "environment": given.on,
            "address": given.on.rstrip("/"),
            "version": given.version,
            "digest": None,  # nothing says which package answers there: `promote` does not accept this report
            "rows": read(ROOT / "build" / "rows.json"),
        }
    place = target()
    running = staged(place, ROOT) if given.on == "staging" else place.running(given.on)
    if not running:
        raise Unjudged(f"{given.on} runs nothing", "Deploy first.")
    return {
        "environment": given.on,
        "address": place.address(given.on),
        "version": given.version or running.release.version,
        "digest": running.release.digest,
        "rows": rows(running.release),
    }


def answering(case: dict[str, Any]) -> None:
    """One request before the load; raises Unjudged unless the right version answers it."""
    try:
        status, answer = Client(case["address"]).predict([SCHEMA.example()])
    except Bad as error:
        raise Unjudged(error.what, error.remedy) from error
    if status != 200:
        raise Unjudged(f"{case['address']}/predict answers {status} to one valid row", "See the service's log.")
    if str(answer.get("model_version")) != case["version"]:
        what = f"version {answer.get('model_version')} answers at {case['address']}, not {case['version']}"
        raise Unjudged(what, "Deploy again; see `make status`.")


def champion(given: argparse.Namespace) -> tuple[str | None, str]:
    """The address of what to compare with, or None, and that in words."""
    address, place = given.champion, target()
    if address in ("none", given.on):
        return None, "beside no champion"
    if address in ENVIRONMENTS:
        if not place.running(address):
            return None, f"beside no champion: {address} runs nothing"
        address = place.address(address)
    try:
        status, _ = Client(address).predict([SCHEMA.example()])
    except Bad as error:
        return None, f"beside no champion: {error.what}"
    if status != 200:  # most often one of another schema
        return None, f"beside no champion: {address} answers {status} to these requests"
    return address.rstrip("/"), f"beside the champion at {address}"


def plan(case: dict[str, Any], given: argparse.Namespace, gate: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """What the locustfile is told."""
    recorded = case["rows"] or {"rows": [], "predictions": []}
    if not recorded["rows"]:
        print("load: no rows.json beside the package: rows are made from the schema alone", flush=True)
    return {
        **{name: case[name] for name in ("address", "version", "champion")},
        "champion_share": gate["champion"]["share"],
        "rate": given.rate,
        "users": given.users,
        "duration_s": given.duration,
        "warmup_s": gate["warmup_s"],
        "timeout_s": gate["timeout_s"],
        "tolerance": tolerance,
        "rows": recorded["rows"],
        "predictions": recorded["predictions"],
    }


def locust(asked: dict[str, Any]) -> dict[str, Any]:
    """Run Locust headless in a process of its own and return its raw samples; raises Unjudged where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        samples, plan = Path(folder, "samples.json"), Path(folder, "plan.json")
        plan.write_text(json.dumps(asked | {"samples": str(samples)}))
        command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary", "--skip-log-setup"]
        command += ["--users", str(asked["users"]), "--spawn-rate", str(asked["users"])]
        command += ["--stop-timeout", f"{asked['timeout_s'] + 1}", "--html", str(PAGE), "--exit-code-on-error", "0"]
        said = []
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "LOAD_PLAN": str(plan)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            for line in process.stdout:
                if line.startswith("load: "):
                    print(line, end="", flush=True)
                said.append(line.rstrip())
        if process.returncode or not samples.exists():
            print("\n".join(said[-20:]), file=sys.stderr)
            raise Unjudged(f"Locust ended with {process.returncode}", "See its last lines above.")
        return json.loads(samples.read_text())


def judged(found: list[Objective], unsure: tuple[str, str] | None) -> Outcome | None:
    """The outcome to raise; None for a pass."""
    missed = [f"{one.name} is {shown(one.measured, one.unit)}, the limit {shown(one.limit, one.unit)}"
              for one in found if not one.met]  # fmt: skip
    if unsure:
        return Unjudged(*unsure)
    return Bad("; ".join(missed), f"See {PAGE.relative_to(ROOT)} and the log of the service.") if missed else None


def shown(value: float, unit: str = "") -> str:
    return f"{value:.4g} {unit}".strip() if math.isfinite(value) else "unknown"


def table(found: list[Objective], service: Side) -> list[str]:
    lines = [f"load: {service.requests} requests, {service.errors} errors, p50 {shown(service.p50_ms, 'ms')}"]
    lines += [f"  {count} x {kind}" for kind, count in list(service.kinds.items())[:5]]
    width = max(len(one.name) for one in found)
    for one in found:
        limit = f"{'>=' if one.least else '<='} {shown(one.limit, one.unit)}{'' if one.met else '  MISSED'}"
        lines.append(f"  {one.name:<{width}}  {shown(one.measured, one.unit):>10}  {limit}")
    return lines


def summary(
    case: dict[str, Any], given: argparse.Namespace, sides: tuple[Side, Side | None], found: list[Objective],
    generator: dict[str, Any], outcome: Outcome | None,
) -> dict[str, Any]:  # fmt: skip
    """reports/load.json: what was judged, the verdict, the numbers, and what they stand on."""
    service, champion = (one and one.numbers() for one in sides)
    return {
        **{name: case[name] for name in ("environment", "address", "version", "digest")},
        "verdict": {None: "pass", 1: "fail", 2: "inconclusive"}[outcome and outcome.code],
        **({"why": outcome.what} if outcome else {}),
        **service,
        "rate_asked": given.rate,
        "rate_achieved": round((service["requests"] - service["errors"]) / given.duration, 3),
        "duration_s": given.duration,
        "users": given.users,
        "objectives": [one.numbers() for one in found],
        "champion": champion and {"address": case["champion"], **champion},
        "generator": {"busy": round(generator["busy"], 3), "late_p95_ms": late(generator)},
    }
