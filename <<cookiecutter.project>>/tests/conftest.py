"""Small data made from declarations, and one small project folder in which stages can run."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy
import places
import pyarrow
import pytest
import yaml

from << cookiecutter.__package >>.columns import Boolean, Category, Column, Number, Schema, Time
from << cookiecutter.__package >>.schema import SCHEMA

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as `train` does, before XGBoost is imported

PARAMS = Path(__file__).parent.parent / "params.yaml"
FEATURES = (
    Category(name="colour", values=("red", "green", "blue"), open=True, missing=0.2, example="red"),
    Number(name="size", minimum=-5, maximum=5, missing=0.2, example=1.5),
    Number(name="count", minimum=0, maximum=50, integer=True, example=3),
    Boolean(name="old", missing=0.2, example=True),
    Time(name="at"),
    Number(name="serial", minimum=0, maximum=10**9, integer=True, feature=False),
)
LABELS = {
    "binary": Boolean(name="label", feature=False),
    "multiclass": Category(name="label", values=("low", "middle", "high"), feature=False),
    "regression": Number(name="label", minimum=-100, maximum=100, feature=False),
}


def _column(column: Column, rows: int, signal: numpy.ndarray, draw: numpy.random.Generator) -> pyarrow.Array:
    absent = draw.random(rows) < min(column.missing, 0.2) / 2
    if isinstance(column, Category):
        return pyarrow.array(draw.choice(column.values, rows), mask=absent, type=pyarrow.string())
    if isinstance(column, Boolean):
        return pyarrow.array(draw.random(rows) < 0.5, mask=absent)
    low, high = column.minimum or 0, 100 if column.maximum is None else column.maximum
    values = low + (high - low) / (1 + numpy.exp(-signal - draw.normal(size=rows)))
    if column.integer:
        return pyarrow.array(numpy.rint(values).astype(numpy.int64), mask=absent)
    return pyarrow.array(values, mask=absent)


def _label(column: Column, signal: numpy.ndarray) -> pyarrow.Array:
    if isinstance(column, Boolean):
        return pyarrow.array(signal > 0)
    if isinstance(column, Category):
        ranks = numpy.argsort(numpy.argsort(signal)) * len(column.values) // len(signal)
        return pyarrow.array(numpy.array(column.values, dtype=object)[ranks], type=pyarrow.string())
    return pyarrow.array(10 * signal)


@pytest.fixture
def schemas() -> dict[str, Schema]:
    """Task -> a small schema with every kind of column."""
    return {
        task: Schema(columns=(*FEATURES, label), key=("serial",), time="at", label="label")
        for task, label in LABELS.items()
    }


@pytest.fixture
def synthetic() -> Callable[..., pyarrow.Table]:
    """`synthetic(schema, rows, seed)`: a table that a schema declares, hourly from 2013, whose label can be learnt."""

    def make(schema: Schema = SCHEMA, rows: int = 600, seed: int = 0) -> pyarrow.Table:
        draw = numpy.random.default_rng(seed)
        signal = draw.normal(size=rows)
        hours = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(rows)]
        made = {}
        for column in schema:
            if isinstance(column, Time):
                made[column.name] = pyarrow.array(hours, type=pyarrow.timestamp("us", tz="UTC"))
            elif column.name == schema.label:
                made[column.name] = _label(column, signal)
            else:
                made[column.name] = _column(column, rows, signal, draw)
        return pyarrow.table(made)

    return make


@pytest.fixture
def task() -> str:
    """The task of this project's own schema."""
    return yaml.safe_load(PARAMS.read_text())["task"]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder while the test runs: this project's parameters, small, and empty places for the outputs."""
    for folder in ("data", "models", "reports"):
        (tmp_path / folder).mkdir()
    params = yaml.safe_load(PARAMS.read_text())
    params["split"] = {
        "train": ["2013-01-01", "2013-01-16"],
        "validation": ["2013-01-16", "2013-01-19"],
        "test": ["2013-01-19", "2013-01-26"],
    }
    params["train"] |= {"device": "cpu", "memory": "auto", "workers": 1}
    params["train"] |= {"xgboost": {"n_estimators": 30, "early_stopping_rounds": 5, "max_depth": 3}}
    params["evaluate"]["minimum_slice_rows"] = 10
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path


@pytest.fixture
def kind(request) -> str:
    """The kind of place that the test is about: by default `process`."""
    return getattr(request, "param", "process")


@pytest.fixture
def place(kind, tmp_path, monkeypatch):
    """A place of this kind for the test alone."""
    with places.made(kind, tmp_path, monkeypatch) as place:
        yield place


@pytest.fixture
def brought(kind, place, tmp_path):
    """A function that brings a version of the stand-in, with some behaviour, to the place, and returns the release."""
    return places.bringing(kind, place, tmp_path)


@pytest.fixture
def front(request, tmp_path, monkeypatch):
    """The service's application, not yet started, for the task that the test is parametrized with."""
    import fronts  # the service is not what most tests need

    with fronts.made(getattr(request, "param", "binary"), tmp_path, monkeypatch) as front:
        yield front


@pytest.fixture
def nobody(monkeypatch) -> None:
    """No registry, no login and no key of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("IMAGE_", "COSIGN", "CI_REGISTRY", "GITHUB_", "UV_", "PIP_", "SSL_CERT_FILE")):
            monkeypatch.delenv(name)
