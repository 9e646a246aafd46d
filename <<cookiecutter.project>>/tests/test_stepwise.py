"""Production moved by shares, at every kind of place: the new release is watched, and goes back by itself."""

import math

import pytest
from deployments import Callers, until
from places import everywhere

from deploy import stepwise
from deploy.counts import Counts
from deploy.target import Release, start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

GATE = {"steps": [10, 50, 100], "watch_s": 0.2, "minimum_requests": 50, "probe_rate": 1000, "probe_s": 60}
GATE |= {"error_ratio": 0.005, "factor": 2.0, "allowance_ms": 100}
RELEASE = Release("2", "sha256:2", "", "", "")


@pytest.fixture
def production(place, brought):
    """Production with version 1, and a function that moves it to a version 2 of some behaviour."""
    start(place, "production", brought("1"))

    def move(**behaviour):
        stepwise.move(place, "production", brought("2", **behaviour), GATE)

    return move


@pytest.mark.processes
@everywhere
def test_a_good_release_comes_in_by_steps_and_no_request_is_lost(place, production, capsys):
    with Callers(place.address("production"), kept=False) as callers:
        production()
    assert (callers.failed, place.running("production").release.version) == ([], "2")
    said = capsys.readouterr().out
    assert all(f"{percent}% of production's connections go to version 2" in said for percent in (10, 50))
    assert "errors" in said


@pytest.mark.processes
@pytest.mark.parametrize("percent", [10, 50])
def test_the_share_is_what_was_asked_for(place, production, brought, percent):
    place.begin("production", brought("2"))
    assert place.counts("production")[0].requests == 0
    assert place.share("production", percent) == percent
    assert place.running("production").candidate.version == "2"
    with Callers(place.address("production"), kept=False) as callers:
        until(lambda: callers.versions.total() >= 2000)
    got = 100 * callers.versions["2"] / callers.versions.total()
    spread = 5 * 100 * math.sqrt(percent / 100 * (1 - percent / 100) / 2000)  # five standard deviations
    assert abs(got - percent) < spread, callers.versions
    place.settle("production")
    assert (place.running("production").candidate, place.counts("production")[0]) == (None, Counts())


@pytest.mark.processes
@everywhere
@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ({"errors": 50}, r"version 2 .* errs for [0-9.]+% of the requests, the present release for 0.00%"),
        ({"crowded": 0.6}, r"version 2 .* answers within \d+ ms \(p95\)"),
        ({"dies": 10}, r"version 2 .* has ended \d+ times at this step|probes got no answer"),
    ],
    ids=["errs for 2%", "slow only under load", "dies under load"],
)
def test_a_worse_release_goes_back_by_itself(place, production, behaviour, why):
    with pytest.raises(Bad, match=why):
        production(**behaviour)
    running = place.running("production")
    assert (running.release.version, running.candidate, running.ready) == ("1", None, True)
    with Callers(place.address("production")) as callers:
        until(lambda: callers.versions["1"] > 100)
    assert (set(callers.versions), callers.failed) == ({"1"}, [])


@pytest.mark.processes
@everywhere
def test_probes_make_up_for_callers_and_say_so(place, production, capsys):
    production()
    said = capsys.readouterr().out
    assert said.count("only 0 requests to judge by, 50 are asked for: probes make up for it") == 2
    assert place.running("production").release.version == "2"


@pytest.mark.processes
@everywhere
def test_an_interrupted_move_leaves_the_present_release_alone(place, production, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stepwise, "watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        production()
    running = place.running("production")
    assert (running.release.version, running.candidate) == ("1", None)


def counted(requests: int, errors: int = 0, ms: float = 4) -> Counts:
    """A release that has answered so many requests, each of them within so many ms."""
    lines = [f'service_requests_total{{model_version="1",code="200"}} {requests - errors}.0']
    lines += [f'service_requests_total{{model_version="1",code="500"}} {errors}.0']
    lines += [f'service_request_seconds_bucket{{model_version="1",le="{bound}"}} {requests * (ms <= 1000 * bound)}'
              for bound in (0.005, 0.05, 0.5)]  # fmt: skip
    lines += [f'service_request_seconds_bucket{{model_version="1",le="+Inf"}} {requests}']
    return Counts.parse("\n".join(lines))


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (counted(200), counted(1800), None),
        (counted(200, errors=1), counted(1800), None),
        (counted(200, errors=2), counted(1800), "errs for 1.00% of the requests, the present release for 0.00%"),
        (counted(200, errors=20), counted(1800, errors=180), None),  # both do: it is not the release
        (counted(200, ms=40), counted(1800), None),
        (counted(200, ms=400), counted(1800), "answers within"),
        (counted(200, ms=4000), counted(1800), "answers within"),
    ],
)
def test_the_verdict_of_a_step(new, old, expected):
    if expected is None:
        return stepwise.judge(RELEASE, new, old, GATE)
    with pytest.raises(Bad, match=expected):
        stepwise.judge(RELEASE, new, old, GATE)


FEW = [(counted(49), counted(1800)), (counted(200), counted(0)), (Counts(), Counts())]


@pytest.mark.parametrize(("new", "old"), FEW)
def test_too_few_requests_are_no_verdict(new, old):
    with pytest.raises(Unjudged, match="was not judged"):
        stepwise.judge(RELEASE, new, old, GATE)


def test_counts_are_those_of_the_service_itself():
    """The format is prometheus_client's: parsed from what `service/metrics.py` really writes."""
    from prometheus_client import CollectorRegistry, generate_latest

    from service.metrics import Metrics
    from << cookiecutter.__package >>.schema import SCHEMA

    registry = CollectorRegistry()
    metrics = Metrics("7", "binary", [], SCHEMA[SCHEMA.label], registry)
    for code, seconds in ((200, 0.0015), (200, 0.0015), (422, 0.0015), (500, 60)):
        metrics.answered(code, seconds)
    counts = Counts.parse(generate_latest(registry).decode())
    assert (counts.requests, counts.errors, counts.error_ratio) == (4, 1, 0.25)
    assert 1 < counts.quantile_ms(0.5) <= 2
    assert counts.quantile_ms(0.99) == 5000, "the last bound"
    assert counts.since(counts) == Counts(0, 0, counts.since(counts).within)
    assert Counts.sum([counts, counts]).requests == 8
