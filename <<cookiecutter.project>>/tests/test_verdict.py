"""The gate's rules: each passes and each fires."""

import pytest
from comparisons import GATES, made, verdict

from ci.compare.verdict import judge, rules_of
from << cookiecutter.__package >>.outcome import Unjudged

TASKS = ("binary", "multiclass", "regression")


def decided(found, code, *words):
    assert found.code == code, found
    for word in words:
        assert word in found.headline
    return found


@pytest.mark.parametrize("task", TASKS)
def test_a_better_model_passes(task):
    decided(verdict(task, own=0.4, theirs=0.5), 0, "pass", "champion")


@pytest.mark.parametrize("task", TASKS)
def test_an_identical_model_passes(task):
    decided(verdict(task, own=0.5, theirs=0.5), 0, "no change of model")


@pytest.mark.parametrize("task", TASKS)
def test_a_first_model_is_judged_by_its_limits(task):
    decided(verdict(task, theirs=None), 0, "first model")
    metric = GATES["gate"][task]["primary"]
    impossible = {"limits": {metric: -1.0 if task == "regression" else 1.1}}
    decided(verdict(task, impossible, theirs=None), 1, metric, "limit")


@pytest.mark.parametrize("task", TASKS)
def test_a_clearly_worse_model_fails(task):
    decided(verdict(task, own=1.5, theirs=0.4), 1, "worse")


@pytest.mark.parametrize("task", TASKS)
def test_slightly_worse_passes_only_where_the_rows_show_it(task):
    """One small loss: the margin passes it, fails it, or cannot be told from it."""
    slightly = {"own": 0.53, "theirs": 0.5}
    primary = GATES["gate"][task]["primary"]
    entry = made(task, **slightly)[0]["differences"][primary]
    least, most = sorted(abs(entry[end]) for end in ("low", "high"))
    assert least * most > 0
    decided(verdict(task, {"margin": most * 1.01}, **slightly), 0)
    decided(verdict(task, {"margin": (least + most) / 2}, **slightly), 2, "may be worse")
    decided(verdict(task, {"margin": least * 0.99}, **slightly), 1, "is worse")


def test_the_margin_may_be_a_share():
    value, loss = 1.2, {"difference": 0.02, "low": 0.015, "high": 0.023}
    worse = {"metrics": {name: {"rmse": value, "mae": 1.0, "r2": 0.5} for name in ("candidate", "champion")}}
    worse |= {"differences": {"rmse": loss}, "baseline": {"constant": {"rmse": 2.0}}, "slices": {}}
    decided(verdict("regression", {"margin": "2%"}, **worse), 0)
    decided(verdict("regression", {"margin": "1%"}, **worse), 1)
    with pytest.raises(Unjudged, match="no threshold"):
        verdict("regression", {"margin": "little"}, **worse)


def test_limits_hold_for_what_should_be_low_too():
    decided(verdict(rules={"limits": {"calibration_error": 0.2}}), 0)
    decided(verdict(rules={"limits": {"calibration_error": 0.001}}), 1, "calibration_error", "above the limit")


def test_shuffled_scores_fail():
    numbers, _ = made(own=50.0, theirs=None)
    assert numbers["metrics"]["candidate"]["auc"] == pytest.approx(0.5, abs=0.04)
    decided(judge(numbers, GATES), 1, "auc")


def test_the_baseline_must_be_beaten():
    strong = {"baseline": {"linear": {"auc": 0.99}, "constant": {"auc": 0.5}}}
    decided(verdict(**strong), 1, "linear baseline")
    equal = made()[0]["metrics"]["candidate"]["auc"]
    decided(verdict(baseline={"linear": {"auc": equal}}), 0)
    decided(verdict(rules={"baseline": 0.01}, baseline={"linear": {"auc": equal}}), 1)
    decided(verdict(baseline={}), 2, "baseline")


def test_too_good_fails():
    decided(verdict(rules={"too_good": {"auc": 0.6}}), 1, "too good to be true")
    decided(verdict(rules={"jump": 0.01}, own=0.3, theirs=1.5), 1, "too good to be true", "gains")
    decided(verdict("regression", {"too_good": {"r2": 0.5}}), 1, "too good to be true")


def test_too_few_rows_decide_nothing():
    decided(verdict(rows=400, own=50.0), 2, "only 400 rows")
    decided(verdict(rules={"minimum_class_rows": 15_000}), 2, "class")
    assert {finding.rule for finding in verdict(rows=400).findings} == {"rows", "rows of yes"}


def test_slices():
    losing = {"rows": 5000, "candidate": 0.6, "champion": 0.7, "difference": -0.1, "low": -0.12, "high": -0.08}
    decided(verdict(slices={"region": {"north": losing}}), 1, "region north", "at least 0.0800")
    decided(verdict(slices={"region": {"north": {**losing, "rows": 999}}}), 0)
    decided(verdict(slices={"region": {"north": {**losing, "high": 0.01}}}), 0)
    decided(verdict(slices={"region": {"north": {**losing, "candidate": 0.5, "high": 0.1}}}), 1, "region north is 0.5")
    decided(verdict(rules={"slices": None}, slices={"region": {"north": losing}}), 0)
    decided(verdict(slices={}), 0)


def test_a_champion_that_is_not_known_is_no_first_model():
    unknown = {"status": "unknown", "name": "", "md5": "", "notes": ["The registry is away."], "why": ""}
    decided(verdict(theirs=None, champion=unknown), 2, "not known", "The registry is away")


def test_a_champion_that_cannot_be_scored_is_replaced_only_on_request():
    lost = {"status": "found", "name": "version 3", "md5": "d" * 32, "notes": [], "why": "a column is gone"}
    found = decided(verdict(theirs=None, champion=lost), 2, "version 3", "a column is gone")
    assert f"unscorable_champion: {'d' * 32}" in found.remedy
    numbers = made(theirs=None, champion=lost)[0]
    decided(judge(numbers, {"gate": {**GATES["gate"], "unscorable_champion": "d" * 32}}), 0)
    decided(judge(numbers, {"gate": {**GATES["gate"], "unscorable_champion": "e" * 32}}), 2)


@pytest.mark.parametrize("task", TASKS)
def test_undefined_metrics_decide_nothing(task):
    numbers, _ = made(task)
    primary = GATES["gate"][task]["primary"]
    numbers["differences"][primary]["low"] = None
    decided(judge(numbers, GATES), 2, "undefined")
    numbers, _ = made(task, theirs=None)
    numbers["metrics"]["candidate"] = dict.fromkeys(numbers["metrics"]["candidate"])
    decided(judge(numbers, GATES), 2, "undefined")


def test_failure_outweighs_doubt():
    lost = {"status": "unknown", "name": "", "md5": "", "notes": [], "why": ""}
    found = decided(verdict(own=50.0, theirs=None, champion=lost), 1)
    assert {finding.verdict for finding in found.findings} == {"pass", "fail", "inconclusive"}
    assert found.findings[0].verdict == "fail"


@pytest.mark.parametrize(
    "change",
    [
        {"limits": {"acu": 0.6}},
        {"too_good": {"rmse": 0.1}},
        {"primary": "f1"},
        {"primary": None},
        {"confidence": None},
        {"slices": {"minimum_rows": 1, "limit": 0}},
        {"floors": {"auc": 0.6}},
    ],
)
def test_a_rule_that_could_never_fire_is_refused(change):
    gates = {"gate": {"binary": {**GATES["gate"]["binary"], **change}}}
    with pytest.raises(Unjudged, match="absent, unknown or empty: "):
        rules_of(gates, "binary")


def test_an_absent_rule_is_refused():
    without = {name: rule for name, rule in GATES["gate"]["binary"].items() if name != "slices"}
    with pytest.raises(Unjudged, match="slices"):
        rules_of({"gate": {"binary": without}}, "binary")
    with pytest.raises(Unjudged, match=r"gate\.binary"):
        rules_of({}, "binary")
    assert all(rules_of(GATES, task) for task in TASKS)
