"""What every kind of place promises: `deploy.target.Target`, kept by each of them."""

import pytest
from deployments import ROWS, Callers, until
from places import everywhere

from deploy.chosen import kind, target
from deploy.client import Client
from deploy.target import TARGETS, Target, start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]  # a cluster takes its time


@pytest.fixture
def staged(place, brought):
    """Staging with version 1."""
    start(place, "staging", brought("1"))
    return place


@pytest.mark.parametrize("name", TARGETS)
def test_each_kind_has_all_that_is_promised(name, monkeypatch):
    monkeypatch.setenv("DEPLOY_TARGET", name)
    promised = {name for name in vars(Target) if not name.startswith("_")} | set(Target.__annotations__)
    assert promised <= set(dir(target()))


@everywhere
def test_a_release_answers_with_its_version(staged):
    with Client(staged.address("staging")) as client:
        status, answer = client.predict(ROWS[:2])
    assert (status, answer["model_version"], len(answer["predictions"])) == (200, "1", 2)
    running = staged.running("staging")
    assert (running.release.version, running.alive, running.ready, running.restarts) == ("1", True, True, 0)
    assert staged.running("production") is None


@everywhere
def test_a_release_is_replaced_under_load_without_a_failed_request(staged, brought):
    address = staged.address("staging")
    with Callers(address, 4) as kept, Callers(address, 4, kept=False) as fresh:
        until(lambda: min(kept.versions["1"], fresh.versions["1"]) > 100)
        start(staged, "staging", brought("2"))
        before = kept.versions["1"]
        until(lambda: min(kept.versions["2"], fresh.versions["2"]) > 100)
    assert (kept.failed, fresh.failed) == ([], [])
    assert kept.versions["1"] <= before + len(kept.threads), "the old release answers on"


@everywhere
@pytest.mark.parametrize(
    ("behaviour", "why"),
    [({"exit": 3}, "exit code 3: the graph is broken"), ({"hang": True}, "not ready within {limit} s")],
    ids=["ends", "hangs"],
)
def test_a_release_that_does_not_get_ready_leaves_the_old_one(staged, brought, behaviour, why):
    limit = (8 if kind() == "kubernetes" else 2) if "hang" in behaviour else 60
    staged.limits["ready_s"] = limit
    refused = pytest.raises(Bad, match=f"{why.format(limit=limit)}.*; version 1 .* still runs")
    with Callers(staged.address("staging"), 2) as callers, refused:
        start(staged, "staging", brought("2", **behaviour))
    assert (callers.failed, set(callers.versions)) == ([], {"1"})
    running = staged.running("staging")
    assert (running.release.version, running.ready, running.candidate) == ("1", True, None)


@everywhere
def test_a_first_release_that_does_not_get_ready_leaves_nothing(place, brought):
    with place.store.hold("staging", "deploy", 0), pytest.raises(Bad, match="nothing runs"):
        start(place, "staging", brought("1", exit=3))
    assert place.running("staging") is None
    with pytest.raises(Bad):
        Client(place.address("staging")).predict(ROWS[:1])


@everywhere
def test_whoever_finds_a_move_that_was_left_ends_it(staged, brought):
    release = brought("2")
    with Callers(staged.address("staging"), 2) as callers:
        staged.begin("staging", release)
        assert staged.share("staging", 50) == 50
        other = target()
        running = other.running("staging")
        assert (running.release.version, running.candidate, round(running.share)) == ("1", release, 50)
        other.settle("staging")
        other.settle("staging")
        assert (other.running("staging").release.version, other.running("staging").candidate) == ("1", None)
        other.begin("staging", release)
        other.finish("staging")
        before = callers.versions["1"]
        until(lambda: callers.versions["2"] > 50)
    assert callers.failed == []
    assert callers.versions["1"] <= before + len(callers.threads), "the former release answers on"
    assert staged.running("staging").release == release


@everywhere
def test_what_was_stopped_is_remembered(staged):
    release = staged.running("staging").release
    assert staged.stop("staging")
    assert not staged.stop("staging")
    running = staged.running("staging")
    assert (running.release, running.alive, running.ready) == (release, False, False)
    start(staged, "staging", release)
    assert staged.running("staging").ready


@everywhere
def test_one_change_at_a_time(place):
    with place.store.hold("staging", "deploy", 0):
        refused = pytest.raises(Unjudged, match="staging is being changed: deploy by")
        with refused, target().store.hold("staging", "stop", 0):
            pass
    with target().store.hold("staging", "stop", 0):
        pass
