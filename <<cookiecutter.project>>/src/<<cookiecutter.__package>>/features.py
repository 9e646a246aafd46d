"""From the schema's features to an unfitted pipeline: preprocessing and one of several estimators.

The pipeline takes a DataFrame of `SCHEMA.feeds`: strings with "" for missing, float32 with NaN for missing. What it
does must have an ONNX equivalent, since `export` turns all of it into the one graph that serving runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import pandas
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .columns import Boolean, Category, Number, Schema
from .outcome import Bad

TASKS = ("binary", "multiclass", "regression")


def _xgboost(task: str, seed: int, settings: Mapping[str, Any]) -> BaseEstimator:
    import xgboost  # here, since what evaluates and serves the graph has no need of it

    objective = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}[task]
    kind = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
    return kind(objective=objective, tree_method="hist", random_state=seed, **settings)


def _linear(task: str, seed: int, settings: Mapping[str, Any]) -> BaseEstimator:
    if task == "regression":
        return Ridge(random_state=seed, **settings)
    return LogisticRegression(random_state=seed, **{"max_iter": 300, **settings})


def _hist_gradient_boosting(task: str, seed: int, settings: Mapping[str, Any]) -> BaseEstimator:
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return kind(random_state=seed, early_stopping=False, **settings)


@dataclass(frozen=True)
class Estimator:
    """`make(task, seed, settings)` gives it unfitted, `settings` being `train.<its name>` of params.yaml.

    `complete`: whether numbers must be imputed and scaled first; trees take them as they are, NaN included.
    """

    make: Callable[[str, int, Mapping[str, Any]], BaseEstimator]
    complete: bool = False


# Another estimator is one more entry, provided that skl2onnx or onnxmltools can convert it.
ESTIMATORS = {
    "xgboost": Estimator(_xgboost),
    "linear": Estimator(_linear, complete=True),
    "hist_gradient_boosting": Estimator(_hist_gradient_boosting),
}


def build(schema: Schema, task: str, name: str, seed: int, settings: Mapping[str, Any] | None = None) -> Pipeline:
    """The unfitted pipeline of two steps, `features` and `estimator`; raises Bad for an unknown estimator."""
    if name not in ESTIMATORS:
        raise Bad(f"train.estimator is {name!r}", f"Use one of {', '.join(ESTIMATORS)} in params.yaml.")
    texts = [column.name for column in schema.features if isinstance(column, Category)]
    numbers = [column.name for column in schema.features if not isinstance(column, Category)]
    ready = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    parts = [
        ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=numpy.float32), texts),
        ("number", ready if ESTIMATORS[name].complete else "passthrough", numbers),
    ]
    features = ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)
    return Pipeline([("features", features), ("estimator", ESTIMATORS[name].make(task, seed, settings or {}))])


def frame(schema: Schema, rows: Mapping[str, Any]) -> pandas.DataFrame:
    """The schema's features of these rows and nothing else, as the pipeline takes them."""
    feeds = schema.feeds(rows)
    return pandas.DataFrame({name: pandas.Series(array[:, 0], dtype=array.dtype) for name, array in feeds.items()})


def target(schema: Schema, task: str, rows: Mapping[str, Any]) -> numpy.ndarray:
    """The label of these rows, shape (n,): class indices, or float64 for regression; raises Bad where it cannot be."""
    label, classes = schema[schema.label], schema.classes()
    kind = type(label).__name__
    fits = {
        "binary": isinstance(label, Boolean) or (isinstance(label, Category) and len(classes) == 2),
        "multiclass": isinstance(label, Category) and len(classes) > 2,
        "regression": isinstance(label, Number),
    }
    if task not in fits:
        raise Bad(f"task is {task!r}", f"Use one of {', '.join(TASKS)} in params.yaml.")
    if not fits[task]:
        of = f" of {len(classes)} classes" if classes else ""
        what = f"the label {label.name!r} is declared as {kind}{of}, which does not fit the task {task!r}"
        raise Bad(what, "Correct `task` in params.yaml or the label in schema.py.")
    try:
        return schema.truth(rows[schema.label])
    except ValueError as error:
        what = f"the label cannot be learnt from: {error}"
        raise Bad(what, "Correct the label in ingest.py or schema.py.") from error
