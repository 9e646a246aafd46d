"""What a model must beat: `constant` knows the labels of the training window alone, `linear` is the simplest model.

A stage of its own, for it changes with the data and not with the model.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy
import pyarrow.parquet as parquet
import yaml

from .columns import Schema
from .features import build, frame, target
from .metrics import measure, rounded
from .outcome import run
from .schema import SCHEMA

DATA = Path("data")
BASELINE = Path("reports/baseline.json")
SEED = 0  # of the linear model, whose solvers draw nothing today


def constant(task: str, train: numpy.ndarray, rows: int, classes: int) -> numpy.ndarray:
    """The scores of a model that knows the training window's labels and looks at nothing else."""
    if task == "multiclass":
        return numpy.tile(numpy.bincount(train, minlength=classes) / len(train), (rows, 1))
    return numpy.full(rows, train.mean())


def linear(task: str, schema: Schema, train: Any, test: Any) -> numpy.ndarray:
    """The scores of a logistic or ridge regression, shaped as `Graph.score` shapes them."""
    pipeline = build(schema, task, "linear", SEED).fit(frame(schema, train), target(schema, task, train))
    rows = frame(schema, test)
    if task == "regression":
        return pipeline.predict(rows)
    probabilities = pipeline.predict_proba(rows)
    return probabilities[:, 1] if task == "binary" else probabilities


def main(arguments: list[str]) -> None:
    task = yaml.safe_load(Path("params.yaml").read_text())["task"]
    train, test = (parquet.read_table(DATA / f"{name}.parquet") for name in ("train", "test"))
    learnt, truth = target(SCHEMA, task, train), target(SCHEMA, task, test)
    scores = {
        "constant": constant(task, learnt, len(truth), len(SCHEMA.classes())),
        "linear": linear(task, SCHEMA, train, test),
    }
    found = {name: rounded(measure(task, truth, given)) for name, given in scores.items()}
    BASELINE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(f"baseline: constant and linear on {len(truth):,} rows of the test window")


if __name__ == "__main__":
    sys.exit(run("baseline", main, sys.argv[1:]))
