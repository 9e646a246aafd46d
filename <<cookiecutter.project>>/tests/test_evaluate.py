import json

import joblib
import numpy
import pyarrow.parquet as parquet
import pytest

from << cookiecutter.__package >> import baseline, evaluate, export
from << cookiecutter.__package >>.features import build, frame, target
from << cookiecutter.__package >>.metrics import METRICS
from << cookiecutter.__package >>.outcome import Bad
from << cookiecutter.__package >>.schema import SCHEMA


def test_slices_count_their_rows_and_leave_out_small_ones(schemas, synthetic):
    table = synthetic(schemas["binary"], rows=300)
    truth = schemas["binary"].truth(table["label"])
    found = evaluate.slices("binary", ["colour"], table, truth, truth * 0.5 + 0.25, minimum=1)
    assert sum(line["rows"] for line in found["colour"].values()) == 300
    assert set(found["colour"]) == {"red", "green", "blue", "missing"}
    assert found["colour"]["red"]["auc"] == 1
    assert evaluate.slices("binary", ["colour"], table, truth, truth * 0.5, minimum=301) == {"colour": {}}
    with pytest.raises(Bad, match=r"evaluate\.slices names 'shape'"):
        evaluate.slices("binary", ["shape"], table, truth, truth * 0.5, minimum=1)


def test_a_metric_that_rows_cannot_define_is_null():
    truth = numpy.array([1, 1])
    assert evaluate.rounded(evaluate.measure("binary", truth, truth * 0.5))["auc"] is None


def test_constant_knows_the_labels_and_nothing_else():
    assert baseline.constant("binary", numpy.array([0, 0, 0, 1]), 2, 2).tolist() == [0.25, 0.25]
    assert baseline.constant("regression", numpy.array([1.0, 3.0]), 1, 0).tolist() == [2.0]
    assert baseline.constant("multiclass", numpy.array([0, 2]), 1, 3).tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize("task", METRICS)
def test_baseline_scores_and_reliability_fit_the_task(schemas, synthetic, task):
    schema = schemas[task]
    train, test = synthetic(schema, rows=400), synthetic(schema, rows=200, seed=1)
    truth = target(schema, task, test)
    scores = baseline.linear(task, schema, train, test)
    constant = baseline.constant(task, target(schema, task, train), 200, len(schema.classes()))
    primary, higher = next(iter(METRICS[task].items()))
    better, worse = (evaluate.measure(task, truth, given)[primary] for given in (scores, constant))
    assert (better > worse) == higher
    bins = evaluate.reliability(task, truth, scores)
    assert len(bins) == 10
    assert sum(line["rows"] for line in bins) == 200
    assert sorted(line["score"] for line in bins) == [line["score"] for line in bins]
    columns = evaluate.predictions(schema, test, scores).column_names
    wanted = [f"score_{name}" for name in schema.classes()] if task == "multiclass" else ["score"]
    assert columns == ["serial", "at", "label", *wanted]


def test_the_stage_judges_the_graph_against_baselines(workplace, synthetic, task):
    train, test = synthetic(SCHEMA, rows=600), synthetic(SCHEMA, rows=300, seed=1)
    parquet.write_table(train, "data/train.parquet")
    parquet.write_table(test, "data/test.parquet")
    (workplace / "models/native").mkdir()
    pipeline = build(SCHEMA, task, "linear", 1).fit(frame(SCHEMA, train), target(SCHEMA, task, train))
    joblib.dump(pipeline, export.NATIVE)
    export.main([])
    baseline.main([])
    evaluate.main([])
    metrics = json.loads((workplace / "reports/metrics.json").read_text())
    primary, higher = next(iter(METRICS[task].items()))
    assert metrics["rows"] == 300
    assert set(metrics) == {*METRICS[task], "rows", "baseline"}
    assert (metrics[primary] > metrics["baseline"]["constant"][primary]) == higher
    assert set(metrics["baseline"]["linear"]) == set(METRICS[task])
    kept = parquet.read_table("data/predictions.parquet")
    assert kept.num_rows == 300
    assert set(SCHEMA.key) | {SCHEMA.time, SCHEMA.label} < set(kept.column_names)
    assert (workplace / "reports/calibration.csv").read_text().startswith("score,share,rows\n")
