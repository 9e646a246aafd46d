"""Judges the exported graph, the very file that ships, on the test window: metrics, slices, calibration.

Beside its own metrics stand those of the baselines (`baseline.py`), which any model worth its keep must beat.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet as parquet
import yaml

from .columns import Schema
from .features import target
from .graph import Graph
from .metrics import calibration, measure, rounded
from .outcome import Bad, run
from .schema import SCHEMA

DATA = Path("data")
MODEL = Path("models/model.onnx")
BASELINE = Path("reports/baseline.json")
METRICS = Path("reports/metrics.json")
SLICES = Path("reports/slices.json")
CALIBRATION = Path("reports/calibration.csv")
PREDICTIONS = DATA / "predictions.parquet"
BINS = 10


def slices(task: str, names: list[str], rows: Any, truth: numpy.ndarray, scores: numpy.ndarray, minimum: int) -> dict:
    """Column -> value -> metrics and rows, for each value with at least `minimum` rows; raises Bad for no column."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in rows.column_names:
            raise Bad(f"evaluate.slices names {name!r}, which is no column", "Correct it in params.yaml.")
        values = rows[name].to_pandas()
        codes, known = values.factorize(use_na_sentinel=False)
        found[name] = {}
        for code, value in enumerate(known):
            chosen = codes == code
            if chosen.sum() >= minimum:
                measured = rounded(measure(task, truth[chosen], scores[chosen]))
                found[name]["missing" if pandas.isna(value) else str(value)] = {"rows": int(chosen.sum()), **measured}
    return found


def reliability(task: str, truth: numpy.ndarray, scores: numpy.ndarray) -> list[dict[str, float]]:
    """Ten bins of equal count by score: mean score, what happened on average, rows.

    Multiclass: the highest probability against how often its class was the right one; regression: values.
    """
    if task == "binary":
        return calibration(truth, scores)
    if task == "multiclass":
        scores, truth = scores.max(axis=1), scores.argmax(axis=1) == truth
    order = numpy.argsort(scores, kind="stable")
    return [
        {"score": float(scores[part].mean()), "share": float(truth[part].mean()), "rows": len(part)}
        for part in numpy.array_split(order, BINS)
        if len(part)
    ]


def predictions(schema: Schema, rows: pyarrow.Table, scores: numpy.ndarray) -> pyarrow.Table:
    """Key, time and label of each row beside `score`, or one `score_<class>` for each class."""
    kept = rows.select(list(dict.fromkeys([*schema.key, schema.time, schema.label])))
    if scores.ndim == 1:
        return kept.append_column("score", pyarrow.array(scores))
    for index, name in enumerate(schema.classes()):
        kept = kept.append_column(f"score_{name}", pyarrow.array(scores[:, index]))
    return kept


def main(arguments: list[str]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    task, settings = params["task"], params["evaluate"]
    graph = Graph(MODEL)
    test = parquet.read_table(DATA / "test.parquet")
    truth = target(SCHEMA, task, test)
    scores = graph.score(test)
    metrics: dict[str, Any] = rounded(measure(task, truth, scores))
    metrics["rows"] = len(truth)
    metrics["baseline"] = json.loads(BASELINE.read_text())
    by_slice = slices(task, settings["slices"], test, truth, scores, settings["minimum_slice_rows"])
    METRICS.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    SLICES.write_text(json.dumps(by_slice, indent=1, sort_keys=True) + "\n")
    with CALIBRATION.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["score", "share", "rows"])
        lines = reliability(task, truth, scores)
        writer.writerows([f"{line['score']:.6g}", f"{line['share']:.6g}", line["rows"]] for line in lines)
    parquet.write_table(predictions(SCHEMA, test, scores), PREDICTIONS, compression="zstd")
    for name, line in (("model", metrics), *metrics["baseline"].items()):
        values = "  ".join(f"{key} {value}" for key, value in line.items() if isinstance(value, float))
        print(f"evaluate: {name:<9} {values}")


if __name__ == "__main__":
    sys.exit(run("evaluate", main, sys.argv[1:]))
