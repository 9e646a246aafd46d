"""Changes of production: each is written down before it begins, made of steps that can be repeated, and recorded.

Whoever finds a change under way completes it or puts everything back. What MLflow has not heard of those that ended
waits in the history until a word reaches the registry.
"""

import os
import time
import uuid
from datetime import datetime

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ci import registry
from ci.verify import smoke
from deploy import stepwise
from deploy.history import NAME, Change, History, line
from deploy.store import now, who
from deploy.target import Release, Target, start
from << cookiecutter.__package >>.outcome import Bad, Outcome, Unjudged


def begin(place: Target, action: str, to: Release, evidence: dict, at: MlflowClient | None = None) -> Change:
    """Write down a change to the release `to` and everything that is needed to put production back."""
    past, running = History(place.store), place.running(NAME)
    former = line(past.ended())
    before = former[-1] if former else None
    change = {
        "id": uuid.uuid4().hex, "action": action, "by": who(), "at": now(), "pipeline": pipeline(),
        "to": to.dict(), "from": before and before.dict(), "healthy": bool(running and running.ready),
        "evidence": evidence, "aliases": _aliases(at) if at else None, "back": False,
    }  # fmt: skip
    past.begin(change)
    return change


def complete(place: Target, change: Change, limits: dict, at: MlflowClient | None = None) -> None:
    """Bring the change about, a promotion step by step; on any failure put everything back and raise Bad."""
    to, past = Release.of(change["to"]), History(place.store)
    try:
        place.settle(NAME)
        running = place.running(NAME)
        if not (running and running.release == to and running.ready):
            if running and running.ready and change["action"] == "promote":
                stepwise.move(place, NAME, to, limits)
            else:
                start(place, NAME, to)
        _answers(place, to, limits["ready_s"])
        if at:
            _set_aliases(at, _wanted_aliases([*past.ended(), change | {"outcome": "done"}]))
    except Exception as error:
        why = error.what if isinstance(error, Outcome) else f"{type(error).__name__}: {error}"
        left = put_back(place, change)
        settled(past)
        raise Bad(f"{to} was not brought to production: {why}; {left}", f"See {place.logs(NAME)}.") from error
    past.end(change, "done")


def put_back(place: Target, change: Change) -> str:
    """Make production run what it ran before the change, and return that in words; `settle` sees to the aliases.

    Raises Bad where that fails too: the change stays written down, and the next call tries again.
    """
    past = History(place.store)
    change["back"] = True
    past.begin(change)
    place.settle(NAME)
    before = change["from"] and Release.of(change["from"])
    if before is None:
        place.stop(NAME, forget=True)
    else:
        running = place.running(NAME)
        if not (running and running.release == before and running.ready):
            try:
                start(place, NAME, before)
            except Bad as error:
                if change["healthy"]:
                    remedy = "Call again, or go to another version: `make rollback ARGS=VERSION`."
                    raise Bad(f"production could not be put back: {error.what}", remedy) from error
    past.end(change, "put back")
    return f"production runs {before} as before" if before else "production runs nothing, as before"


def settle(past: History, at: MlflowClient) -> None:
    """Tell the registry what it has not heard: the aliases, and a run for each change."""
    changes = past.ended()
    if all(change["recorded"] for change in changes):
        return
    _set_aliases(at, _wanted_aliases(changes) if line(changes) else changes[-1]["aliases"] or {})
    for change in changes:
        if not change["recorded"]:
            _record(at, change)
            change["recorded"] = True
            past.keep(changes)


def settled(past: History) -> None:
    """Settle if the registry answers; otherwise say that it has to wait."""
    try:
        settle(past, connect())
    except (MlflowException, Unjudged) as error:
        print(f"{error}\n  -> Aliases and record wait for the next promote, rollback or status that reaches it.")


def connect() -> MlflowClient:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")  # seconds; by default minutes
    return registry.client()


def _answers(place: Target, release: Release, limit_s: float) -> None:
    """Return when production answers with this release; raises Bad if it does not in time."""
    end = time.monotonic() + limit_s
    while True:
        try:
            return smoke(place.address(NAME), release)
        except Bad:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def _wanted_aliases(changes: list[Change]) -> dict[str, str | None]:
    releases = line(changes)
    return {"champion": releases[-1].version, "previous": releases[-2].version if len(releases) > 1 else None}


def _aliases(at: MlflowClient) -> dict[str, str | None]:
    found = {alias: registry.by_alias(at, alias) for alias in ("champion", "previous")}
    return {alias: version.number if version else None for alias, version in found.items()}


def _set_aliases(at: MlflowClient, wanted: dict[str, str | None]) -> None:
    for alias, number in wanted.items():
        if number is None:
            at.delete_registered_model_alias(registry.MODEL, alias)
        else:
            at.set_registered_model_alias(registry.MODEL, alias, number)


def _record(at: MlflowClient, change: Change) -> None:
    """A run of the experiment `deployments` for a change; the same run when called again."""
    where = registry.experiment(at, registry.DEPLOYMENTS)
    found = at.search_runs([where], f"tags.change = '{change['id']}'")
    began = int(datetime.fromisoformat(change["at"]).timestamp() * 1000)
    name = f"{change['action']} {change['to']['version']}"
    run = found[0] if found else at.create_run(where, began, {"change": change["id"]}, name)
    tags = {name: str(change[name]) for name in ("action", "outcome", "by", "at", "pipeline") if change[name]}
    tags |= change["to"] | {"from_version": change["from"]["version"] if change["from"] else ""}
    for name, value in tags.items():
        at.set_tag(run.info.run_id, name, value)
    at.log_dict(run.info.run_id, change["evidence"], "evidence.json")
    for gate, report in change["evidence"].items():
        for name, value in report.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                at.log_metric(run.info.run_id, f"{gate}_{name}", value)
    at.set_terminated(run.info.run_id, "FINISHED" if change["outcome"] == "done" else "FAILED")


def pipeline() -> str:
    """The address of the pipeline that this runs in, or nothing."""
    if "GITHUB_RUN_ID" in os.environ:
        return "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(os.environ)
    return os.environ.get("CI_PIPELINE_URL", "")
