"""Small trainings for the tests of `train`."""

from pathlib import Path

import joblib
import pyarrow.parquet as parquet
from sklearn.pipeline import Pipeline

from << cookiecutter.__package >>.columns import Schema
from << cookiecutter.__package >>.features import build
from << cookiecutter.__package >>.train import boost, matrix
from << cookiecutter.__package >>.train.checkpoint import Shelf
from << cookiecutter.__package >>.train.rounds import Rounds
from << cookiecutter.__package >>.train.rows import Rows

SETTINGS = {"n_estimators": 40, "early_stopping_rounds": 5, "max_depth": 4, "subsample": 0.8, "colsample_bytree": 0.5}


def parts(folder: Path, schema: Schema, task: str, synthetic, rows: int = 2_000) -> dict[str, Rows]:
    """Training and validation rows in Parquet files."""
    made = {}
    for seed, name in enumerate(("train", "validation")):
        parquet.write_table(synthetic(schema, rows=rows, seed=seed), folder / f"{name}.parquet", row_group_size=700)
        made[name] = Rows(folder / f"{name}.parquet", schema, task)
    return made


def train(
    data: dict[str, Rows], shelf: Shelf, device: str = "cpu", mode: str = "in_memory", batch: int = 300, **settings
) -> tuple[Pipeline, Rounds]:
    """One training; returns the fitted pipeline and the losses of its rounds."""
    rows = data["train"]
    pipeline = build(rows.schema, rows.task, "xgboost", 1, SETTINGS | settings)
    matrices = matrix.make(pipeline["features"], data, mode, device, batch=batch)
    classes = len(rows.schema.classes())
    return pipeline, boost.boost(pipeline["estimator"], rows.task, classes, device, matrices, shelf)


def content(pipeline: Pipeline) -> str:
    """What DVC would see of it."""
    return joblib.hash(pipeline)
