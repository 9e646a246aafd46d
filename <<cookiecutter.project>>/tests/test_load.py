"""What the load test sends, and how samples become a verdict."""

import math
from itertools import islice

import pytest
import yaml

from ci.environment import ROOT
from load.judge import doubt, objectives, side
from load.payloads import EDGE_EVERY, MANY, MANY_EVERY, edges, fault, requests
from << cookiecutter.__package >>.columns import Boolean, Category, Number, Schema, Time

SCHEMA = Schema(
    columns=(
        Time(name="at"),
        Category(name="place", values=("north", "south"), open=True, example="north"),
        Number(name="size", minimum=1, maximum=9, integer=True, example=5),
        Number(name="heat", minimum=-1.5, maximum=40, missing=0.5, example=20.0),
        Boolean(name="wet", example=True),
        Boolean(name="label", feature=False),
    ),
    key=("at",),
    time="at",
    label="label",
)
GATE = yaml.safe_load((ROOT / "gates.yaml").read_text())["load"]
IDLE = {"busy": 0.2, "late_ms": [1.0] * 100}


def quick(count: int = 2000, milliseconds: float = 2.0, error: str | None = None) -> list:
    return [[number / 100, milliseconds, error, True] for number in range(count)]


def verdict(samples: list, generator: dict = IDLE, seconds: float = 10, champion: list | None = None):
    """The objectives that are missed, and the doubt."""
    service, other = side(samples), side(champion) if champion else None
    pair = (service, other) if other else None
    missed = [one.name for one in objectives(service, pair, seconds, 200, GATE) if not one.met]
    return missed, doubt(service, other, generator, GATE, bool(missed))


def test_edges_are_valid_and_reach_the_ends_of_the_declaration():
    rows = edges(SCHEMA)
    assert {row["size"] for row in rows} >= {1, 9}
    assert all(type(row["size"]) is int for row in rows)
    assert {row["heat"] for row in rows if "heat" in row} >= {-1.5, 40.0, None}
    assert any("heat" not in row for row in rows)
    assert "unseen" in {row["place"] for row in rows}
    assert {row["wet"] for row in rows} == {True, False}
    assert not any({"at", "label"} & set(row) for row in rows)


def test_requests_are_mostly_single_real_rows_with_their_predictions():
    recorded = [{"size": number} for number in range(50)], list(range(50))
    number = MANY_EVERY * EDGE_EVERY
    asked = list(islice(requests(SCHEMA, recorded, start=7), number))
    assert asked[0] == ([{"size": 7}], [7])
    assert all(expected == [row["size"] for row in rows] for rows, expected in asked if expected is not None)
    assert {len(rows) for rows, _ in asked} == {1, MANY}
    assert sum(len(rows) == MANY for rows, _ in asked) == number / MANY_EVERY
    assert sum(expected is None for _, expected in asked) == number / EDGE_EVERY - number / MANY_EVERY
    assert len({rows[0]["size"] for rows, expected in asked if expected}) == 50


def test_without_recorded_rows_the_edges_are_sent():
    asked = list(islice(requests(SCHEMA, ([], []), start=3), 10))
    assert [rows[0] for rows, _ in asked] == edges(SCHEMA) * 2
    assert all(expected is None for _, expected in asked)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"predictions": [{"probability": 0.0}, {"probability": 1}]}, None),
        ({"predictions": [{"probabilities": {"a": 0.3, "b": 0.7}, "label": "b"}] * 2}, None),
        ({"predictions": [{"value": -3.5}, {"value": 4}]}, None),
        ([], "no predictions"),
        ({"error": "x"}, "no predictions"),
        ({"predictions": [{"probability": 0.5}]}, "another number"),
        ({"predictions": [{"probability": 0.5}, 0.5]}, "no object"),
        ({"predictions": [{"probability": 0.5}, {"probability": 1.01}]}, "outside 0 and 1"),
        ({"predictions": [{"probability": 0.5}, {"probability": math.nan}]}, "outside 0 and 1"),
        ({"predictions": [{"probability": 0.5}, {"probability": None}]}, "outside 0 and 1"),
        ({"predictions": [{"probabilities": {"a": 1.0}, "label": "a"}] * 2}, "not those of the classes"),
        ({"predictions": [{"value": math.inf}, {"value": 4}]}, "without a number"),
    ],
)
def test_the_content_of_answers(answer, found):
    said = fault(answer, 2, ("a", "b"))
    assert said is None if found is None else found in said


def test_percentiles_are_latencies_that_were_measured():
    service = side([[0, float(milliseconds), None, False] for milliseconds in range(1, 101)])
    assert (service.p50_ms, service.p95_ms, service.p99_ms, service.max_ms) == (50, 95, 99, 100)


def test_an_even_quick_service_passes():
    assert verdict(quick()) == ([], None)
    assert verdict(quick(), champion=quick(500)) == ([], None)


@pytest.mark.parametrize(
    ("samples", "missed"),
    [
        (quick(1800) + quick(200, milliseconds=90), ["p95"]),
        (quick(1970) + quick(30, milliseconds=400), ["p99"]),
        (quick(1997) + quick(3, error="status 500"), ["error ratio"]),
        (quick(1999) + quick(1, error="wrong: not the recorded prediction"), ["wrong answers"]),
        (quick(1200), ["achieved of asked rate"]),
    ],
)
def test_each_objective_fires(samples, missed):
    assert verdict(samples) == (missed, None)


def test_the_champion_sets_a_limit_of_its_own():
    slower = GATE["champion"]["factor"] * 2 + GATE["champion"]["allowance_ms"] + 0.1
    assert verdict(quick(milliseconds=slower), champion=quick(500))[0] == ["p95 beside the champion"]
    assert verdict(quick(milliseconds=slower - 0.2), champion=quick(500))[0] == []


@pytest.mark.parametrize(
    ("samples", "generator", "champion", "why"),
    [
        ([], IDLE, None, "not one answer to 0 requests"),
        (quick(error="no answer: ConnectionRefusedError"), IDLE, None, "not one answer to 2000 requests"),
        (quick(900), IDLE, None, "900 requests are too few"),
        (quick(1999) + quick(1, error="version: 2 answered"), IDLE, None, "another release answers: 2 answered"),
        (quick(), {"busy": 0.95, "late_ms": [1.0]}, None, "saturated"),
        (quick(milliseconds=90), {"busy": 0.5, "late_ms": [80.0] * 9}, None, "starved"),
        (quick(), IDLE, quick(100), "the champion gave only 100 right answers"),
    ],
)
def test_what_judges_nothing(samples, generator, champion, why):
    assert why in verdict(samples, generator, champion=champion)[1][0]


def test_a_late_generator_does_not_spoil_a_pass():
    assert verdict(quick(), {"busy": 0.5, "late_ms": [80.0] * 9}) == ([], None)
