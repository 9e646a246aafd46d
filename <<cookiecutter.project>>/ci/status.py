"""What runs where, since when, which version and digest; the aliases; the last gates; how to see more."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from mlflow.exceptions import MlflowException

from ci import forge, production, registry
from deploy.chosen import target
from deploy.history import History, line
from deploy.store import read
from deploy.target import ENVIRONMENTS, ROOT, Running, Target
from << cookiecutter.__package >>.outcome import Unjudged

GATES = ("gate", "verify", "load")
ALIASES = ("candidate", "champion", "previous")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="status", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the same for machines")
    about = "from a pipeline: also as a status on its commit, red unless production runs what that commit released"
    parser.add_argument("--on-commit", action="store_true", help=about)
    given = parser.parse_args(arguments)
    found = gather(target())
    print(json.dumps(found, indent=2) if given.json else "\n".join(screen(found)))
    if given.on_commit:
        print(f"status: {mark(found['environments']['production'])}")


def gather(place: Target) -> dict[str, Any]:
    past = History(place.store)
    changes = past.ended()
    return {
        "environments": {environment: describe(place, environment) for environment in ENVIRONMENTS},
        "registry": aliases(past),
        "gates": {word: read(ROOT / "reports" / f"{word}.json") for word in GATES},
        "under_way": past.under_way(),
        "back": [asdict(release) for release in reversed(line(changes)[:-1])],
        "unrecorded": sum(not change["recorded"] for change in changes),
    }


def describe(place: Target, environment: str) -> dict[str, Any] | None:
    running = place.running(environment)
    if running is None:
        return None
    seen = {"state": state(running), "address": place.address(environment), "logs": place.logs(environment)}
    return asdict(running) | seen


def state(running: Running) -> str:
    if not running.alive:
        return "is stopped"
    return "runs" if running.ready else "does not answer"


def aliases(past: History) -> dict[str, Any]:
    """The versions behind the aliases, after telling the registry what it has missed; or why it cannot say."""
    try:
        at = production.connect()
        production.settle(past, at)
        found = {alias: registry.by_alias(at, alias) for alias in ALIASES}
    except (MlflowException, Unjudged) as error:
        return {"address": registry.address(), "error": str(error)}
    return {"address": registry.address()} | {alias: version and version.number for alias, version in found.items()}


def mark(seen: dict[str, Any] | None) -> str:
    """Say on this pipeline's commit what production runs; returns what was said, or why nothing was."""
    at = forge.commit()
    if at is None or not at.token:
        return "no token to put a status on the commit with; the page of this job says it"
    what = f"version {seen['release']['version']} {seen['state']} in production" if seen else "production runs nothing"
    released = bool(seen) and seen["release"]["git_sha"] == at.sha
    text = what if released else f"not released: {what}"
    try:
        at.mark("production", released and seen["ready"], text, production.pipeline())
    except forge.Refused as error:
        return f"{text}; the forge takes no status: {error}"
    return f"{text}; the commit says so too"


def screen(found: dict[str, Any]) -> list[str]:
    lines = []
    for environment, seen in found["environments"].items():
        if seen is None:
            lines.append(f"{environment:<11} runs nothing")
            continue
        release, restarts = seen["release"], seen["restarts"]
        again = f", restarted {restarts} times" if restarts else ""
        lines.append(f"{environment:<11} {seen['state']}: version {release['version']}, {seen['address']}{again}")
        lines.append(f"{'':<11} since {seen['since']} by {seen['by']}; commit {release['git_sha'][:12]}")
        lines.append(f"{'':<11} digest {release['digest']}, model {release['model_md5']}")
        lines.append(f"{'':<11} log {seen['logs']}")
        if seen["candidate"]:
            what = f"version {seen['candidate']['version']} is coming in, with {seen['share']:g}% of the connections"
            lines.append(f"{'':<11} {what}")
    known = found["registry"]
    said = known.get("error") or ", ".join(f"{alias} {known[alias] or 'none'}" for alias in ALIASES)
    lines.append(f"{'registry':<11} {said}; {known['address']}")
    for word, report in found["gates"].items():
        lines.append(f"{word:<11} {verdict(report)}")
    back = ", ".join(f"version {release['version']}" for release in found["back"])
    lines.append(f"{'rollback':<11} {f'to {back}' if back else 'to nothing: no earlier production release'}")
    if found["under_way"]:
        change = found["under_way"]
        what = f"the {change['action']} of version {change['to']['version']} of {change['at']} was interrupted"
        lines.append(f"{'under way':<11} {what}, or still runs: `make promote` completes it, `make rollback` undoes it")
    if found["unrecorded"]:
        lines.append(f"{'record':<11} {found['unrecorded']} changes wait for the registry")
    return lines


def verdict(report: dict[str, Any] | None) -> str:
    if not report:
        return "has not judged anything"
    model = report.get("files", {}).get("models/model.onnx", "unknown")
    about = f"version {report['version']}" if "version" in report else f"model {model}"
    why = report.get("why") or report.get("headline")
    return f"{report['verdict']}: {about}{f', {why}' if why else ''}"
