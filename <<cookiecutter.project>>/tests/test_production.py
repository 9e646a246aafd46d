"""Promote and rollback at every kind of place with a real registry, whole and killed in the middle."""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from deployments import ROWS, Callers
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from places import everywhere

from ci import production, promote, registry, rollback, status
from deploy import releases
from deploy.client import Client
from deploy.history import History, line
from deploy.store import write
from deploy.target import TARGETS, start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]  # a cluster takes its time

STRIDE = int(os.environ.get("KILL_EVERY", "80"))  # of the lines that run; 1 for each of them
FEWER = 3  # times, where a promotion takes seconds
VERSIONS = ("1", "2", "3")
QUICK = {"ready_s": 2, "wait_s": 60, "steps": [50, 100], "watch_s": 0, "minimum_requests": 20}
QUICK |= {"probe_rate": 2000, "probe_s": 60, "error_ratio": 0.5, "factor": 100, "allowance_ms": 5000}


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """An MLflow store with three registered versions: made once, copied for each test."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        at = registry.client()
        at.create_registered_model(registry.MODEL)
        for version in VERSIONS:
            tags = {"model_md5": f"md5-{version}", "gate": "pass"}
            at.create_model_version(registry.MODEL, path.parent.as_uri(), tags=tags)
    return path


@pytest.fixture
def released(place, brought, store, tmp_path, monkeypatch):
    """A function that brings a version to staging as judged and, unless told otherwise, promotes it."""
    shutil.copy(store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    for module in (promote, rollback):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    write(tmp_path / "gates.yaml", {"release": QUICK})  # JSON is YAML

    def release(number, promoted=True, **behaviour):
        start(place, "staging", brought(number, **behaviour))
        judge(tmp_path, place)
        if promoted:
            promote.main([])

    return release


def judge(folder, place, **changes):
    release = place.running("staging").release
    report = {"environment": "staging", "version": release.version, "digest": release.digest, "verdict": "pass"}
    for word in ("verify", "load"):
        write(folder / "reports" / f"{word}.json", report | {"p99_ms": 3.5} | changes)


def answering(place):
    with Client(place.address("production")) as client:
        return client.predict(ROWS[:1])[1]["model_version"]


def aliases():
    found = production._aliases(registry.client())
    return found["champion"], found["previous"]


def records():
    at, names = registry.client(), ("action", "version", "outcome")
    runs = at.search_runs([registry.experiment(at, registry.DEPLOYMENTS)])
    return sorted((*(run.data.tags[name] for name in names), run.info.status) for run in runs)


@everywhere
def test_promote_moves_the_release_the_aliases_and_the_record(place, released):
    released("1")
    assert (answering(place), aliases()) == ("1", ("1", None))
    with Callers(place.address("production")) as callers:
        released("2")
    assert callers.failed == []
    assert (answering(place), aliases()) == ("2", ("2", "1"))
    assert records() == [("promote", "1", "done", "FINISHED"), ("promote", "2", "done", "FINISHED")]
    at = registry.client()
    [run] = at.search_runs([registry.experiment(at, registry.DEPLOYMENTS)], "tags.version = '2'")
    assert run.data.tags["digest"] == place.running("production").release.digest
    assert run.data.metrics["load_p99_ms"] == 3.5
    promote.main([])
    assert len(records()) == 2, "there was nothing to promote"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"digest": "sha256:0"}, "has judged version 1 on staging, not version 1"),
        ({"environment": "production"}, "has judged version 1 on production"),
        ({"verdict": "fail"}, "did not pass"),
        ({"verdict": "inconclusive"}, "did not pass"),
    ],
)
def test_only_what_was_judged_is_promoted(place, released, tmp_path, changes, why):
    released("1", promoted=False)
    judge(tmp_path, place, **changes)
    with pytest.raises(Unjudged, match=why):
        promote.main([])
    assert (place.running("production"), aliases(), records()) == (None, (None, None), [])


def test_what_another_pipeline_has_deployed_is_not_promoted(place, released, tmp_path):
    released("1", promoted=False)
    release = place.running("staging").release
    write(tmp_path / "build" / "package.json", release.dict() | {"digest": "sha256:0"})
    with pytest.raises(Unjudged, match=r"staging runs version 1 .*, and build/ holds version 1"):
        promote.main([])
    assert place.running("production") is None


@pytest.mark.parametrize("word", ["verify", "load"])
def test_a_missing_judgement_is_not_a_pass(place, released, tmp_path, word):
    released("1", promoted=False)
    (tmp_path / "reports" / f"{word}.json").unlink()
    with pytest.raises(Unjudged, match=f"{word} has not judged version 1"):
        promote.main([])


@everywhere
def test_a_dead_staging_is_not_promoted(place, released):
    released("1", promoted=False)
    place.stop("staging")
    with pytest.raises(Unjudged, match="staging runs nothing that answers"):
        promote.main([])


def test_a_model_that_the_registry_does_not_know_is_not_promoted(place, released):
    with pytest.raises(Unjudged, match="does not know the model of version 7"):
        released("7")


@everywhere
def test_everything_is_put_back_when_production_answers_as_another_version(place, released):
    released("1")
    with pytest.raises(Bad, match=r"version 1 answers instead of version 2 .*; production runs version 1 .* as before"):
        released("2", version="1")
    assert (answering(place), aliases(), History(place.store).under_way()) == ("1", ("1", None), None)
    assert place.running("production").release.version == "1"
    assert records()[1:] == [("promote", "2", "put back", "FAILED")]


@everywhere
def test_a_first_promotion_that_fails_leaves_production_empty(place, released):
    with pytest.raises(Bad, match="production runs nothing, as before"):
        released("1", version="0")
    assert (place.running("production"), aliases()) == (None, (None, None))


@everywhere
def test_everything_is_put_back_when_the_registry_fails_in_the_middle(place, released, monkeypatch):
    released("1")

    working, calls = MlflowClient.set_registered_model_alias, []

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise MlflowException("the registry went away")
        working(*arguments)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", broken)
    with pytest.raises(Bad, match=r"the registry went away; production runs version 1 .* as before"):
        released("2")
    consistent(place, "1", None)


WATCHED = ("ci.production", "ci.promote", "deploy.history", "deploy.stepwise")
WATCHED += tuple(f"deploy.{kind}.place" for kind in TARGETS)


def traced(act, last=None):
    """The lines of a promotion and of the target that `act` runs; ends the process before `last`."""
    own = {sys.modules[name].__file__ for name in WATCHED if name in sys.modules}
    lines = {}

    def trace(frame, event, _):
        if frame.f_code.co_filename not in own:
            return None
        if event == "line":
            line = (frame.f_code.co_filename, frame.f_lineno)
            lines[line] = True
            if line == last:
                os._exit(9)
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    return list(lines)


def killed(act, line):
    """Run `act` in a process of its own that ends, as by SIGKILL, before this line; whether it came that far."""
    child = os.fork()
    if not child:
        try:
            traced(act, line)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def consistent(place, version, previous):
    """Whether what runs, the aliases, the record and the files all say that this is the release of production."""
    assert answering(place) == version
    assert place.running("production").release.version == version
    assert aliases() == (version, previous)
    past = History(place.store)
    assert past.under_way() is None
    ended = [(change["action"], change["to"]["version"], change["outcome"]) for change in past.ended()]
    assert [record[:3] for record in records()] == sorted(ended)
    assert all(change["recorded"] for change in past.ended())


@everywhere
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("then", ["promote", "rollback"])
def test_promote_killed_at_any_line_is_completed_or_undone_by_the_next_call(place, kind, released, then):
    stride = STRIDE if kind == "process" else FEWER * STRIDE
    released("1")
    released("2", promoted=False)
    past = History(place.store)
    lines = traced(lambda: promote.main([]))
    rollback.main([])
    assert len(lines) > 100
    reached = 0
    for last in lines[::stride]:
        reached += killed(lambda: promote.main([]), last)
        if then == "promote":
            promote.main([])
            consistent(place, "2", "1")
            rollback.main([])
        elif past.under_way() or len(line(past.ended())) == 2:
            rollback.main([])
        else:  # it was killed before it changed anything
            promote.main([])
            rollback.main([])
        consistent(place, "1", None)
    assert reached >= 0.8 * len(lines[::stride]) - 1  # a few lines run only the first time


@pytest.mark.timeout(3600)
def test_a_promotion_that_fails_and_is_killed_at_any_line_is_put_back_by_the_next_call(place, released, tmp_path):
    write(tmp_path / "gates.yaml", {"release": QUICK | {"ready_s": 0.1}})
    released("1")
    released("2", promoted=False, version="0")

    def fail():
        with pytest.raises(Bad, match="version 0 answers instead of version 2"):
            promote.main([])

    lines, reached = traced(fail)[::STRIDE], 0
    for last in lines:
        reached += killed(lambda: promote.main([]), last)
        fail()
        consistent(place, "1", None)
    assert reached >= 0.8 * len(lines)


@everywhere
def test_two_promotions_at_once_end_as_one(place, released):
    released("1", promoted=False)
    with ThreadPoolExecutor(2) as both:
        list(both.map(promote.main, [[], []]))
    consistent(place, "1", None)
    assert len(records()) == 1


@everywhere
def test_rollback_goes_back_under_load_and_says_so_everywhere(place, released):
    for version in VERSIONS:
        released(version)
    with Callers(place.address("production")) as callers:
        rollback.main([])
    assert callers.failed == []
    consistent(place, "2", "1")
    rollback.main([])
    consistent(place, "1", None)
    with pytest.raises(Unjudged, match="no previous release"):
        rollback.main([])
    rollback.main(["3"])
    consistent(place, "3", "1")
    with pytest.raises(Unjudged, match="never run version 9"):
        rollback.main(["9"])


@everywhere
def test_rollback_from_a_dead_release(place, released):
    released("1")
    released("2")
    place.stop("production")
    rollback.main([])
    consistent(place, "1", None)


@everywhere
def test_rollback_without_the_registry_is_recorded_later(place, released, monkeypatch, capsys):
    released("1")
    released("2")
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        away.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        rollback.main([])
        assert answering(place) == "1"
        assert "wait for the next promote" in capsys.readouterr().out
        status.main([])
        assert "1 changes wait for the registry" in capsys.readouterr().out
    assert aliases() == ("2", "1")
    status.main([])
    consistent(place, "1", None)


def test_rollback_to_a_release_that_no_longer_starts_leaves_the_present_one(place, released):
    released("1")
    first = place.running("production").release
    released("2")
    (releases.folder(first) / "bento" / "src" / "behaviour.json").write_text('{"exit": 4}')
    with pytest.raises(Bad, match=r"version 1 .* not brought to production.*exit code 4.*runs version 2 .* as before"):
        rollback.main([])
    consistent(place, "2", "1")


def test_rollback_to_a_release_that_is_gone(place, released):
    released("1")
    first = place.running("production").release
    released("2")
    shutil.rmtree(releases.folder(first))
    with pytest.raises(Unjudged, match="no longer kept"):
        rollback.main([])
    consistent(place, "2", "1")


@everywhere
def test_status_says_what_runs_where(place, released, capsys):
    released("1")
    released("2", promoted=False)
    capsys.readouterr()
    status.main([])
    screen = capsys.readouterr().out
    for part in ("production  runs: version 1", place.address("staging"), "champion 1", "digest sha256:", "since 20"):
        assert part in screen
    place.stop("production")
    status.main(["--json"])
    assert '"state": "is stopped"' in capsys.readouterr().out
