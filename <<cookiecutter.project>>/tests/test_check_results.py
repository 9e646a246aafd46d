"""The results of the check equal those of plain Great Expectations on pandas, on good and on bad data."""

import json
import warnings
from datetime import datetime, timedelta

import duckdb
import great_expectations as gx
import great_expectations.expectations as gxe
import numpy
import pandas
import pytest

from << cookiecutter.__package >>.check import scan, suite
from << cookiecutter.__package >>.check.judge import evaluate
from << cookiecutter.__package >>.check.scan import Scan, types, view
from << cookiecutter.__package >>.columns import Boolean, Category, Number, Schema, Time

ROWS = 400
NOW = datetime(2024, 3, 1)
SCHEMA = Schema(
    columns=(
        Category(name="shop", values=("a", "b", "it's")),
        Category(name="kind", values=("x", "y"), open=True, missing=0.1),
        Number(name="order", minimum=0, integer=True, feature=False),
        Time(name="at"),
        Number(name="price", minimum=0.5, maximum=100, missing=0.2, unit="EUR"),
        Boolean(name="member"),
        Boolean(name="returned", feature=False),
    ),
    key=("shop", "order"),
    time="at",
    label="returned",
)
GATES = {
    "maximum_age_days": 7,
    "minimum_rows": 100,
    "rows_against_last": [0.9, 1.5],
    "minimum_class_share": 0.05,
    "against_training": {"label_share": 0.1, "quantile": 0.2, "divergence": 0.1, "except": []},
}
REFERENCE = {
    "label": {"mean": 0.3},
    "features": {
        "shop": {"shares": {"a": 0.5, "b": 0.3, "it's": 0.2}},
        "kind": {"shares": {"x": 0.6, "y": 0.3}},
        "price": {"quantiles": [1, 6, 11, 16, 21, 26, 31, 36, 41, 46, 51]},
        "member": {"mean": 0.5},
    },
}
COUNTS = ("element_count", "unexpected_count", "missing_count", "unexpected_percent")
MORE = [  # what other kinds of label and key would ask for
    gxe.ExpectColumnDistinctValuesToContainSet(column="shop", value_set=["a", "b"]),
    gxe.ExpectColumnStdevToBeBetween(column="price", min_value=0, strict_min=True),
    gxe.ExpectColumnValuesToBeUnique(column="order"),
    gxe.ExpectColumnValuesToBeBetween(column="price", min_value=1, max_value=40, strict_max=True, mostly=0.7),
]


def good() -> pandas.DataFrame:
    draw = numpy.random.default_rng(7)
    price = pandas.Series(draw.uniform(1, 51, ROWS).round(2)).mask(draw.random(ROWS) < 0.1)
    return pandas.DataFrame(
        {
            "shop": draw.choice(["a", "b", "it's"], ROWS, p=[0.5, 0.3, 0.2]),
            "kind": pandas.Series(draw.choice(["x", "y"], ROWS, p=[0.7, 0.3])).mask(draw.random(ROWS) < 0.05),
            "order": numpy.arange(ROWS),
            "at": [NOW - timedelta(hours=ROWS - hour) for hour in range(ROWS)],
            "price": price,
            "member": draw.random(ROWS) < 0.5,
            "returned": draw.random(ROWS) < 0.3,
        }
    )


def bad(**columns) -> pandas.DataFrame:
    """The good frame with the first 60 values of these columns replaced."""
    frame = good()
    for name, value in columns.items():
        frame.loc[:59, name] = value
    return frame


FRAMES = {
    "good": good,
    "missing": lambda: bad(shop=None, kind=None, price=None),
    "out of range": lambda: bad(price=1000.5, order=-1),
    "unseen": lambda: bad(shop="c", kind="z"),
    "repeated": lambda: pandas.concat([good(), good().tail(30)], ignore_index=True),
    "no value": lambda: good().assign(price=numpy.nan, kind=pandas.Series([None] * ROWS, dtype="str")),
    "shifted": lambda: good().assign(price=lambda frame: frame.price + 30, shop="a", member=True, returned=False),
    "stale": lambda: good().assign(at=lambda frame: frame["at"] - timedelta(days=90)),
    "few": lambda: good().head(3),
    "empty": lambda: good().head(0),
}


def expected() -> list:
    return [
        *suite.project(SCHEMA, GATES, NOW, last_rows=ROWS),
        *suite.values(SCHEMA),
        *suite.shift(SCHEMA, GATES["against_training"], REFERENCE),
        *MORE,
    ]


@pytest.fixture(scope="module")
def pandas_results():
    """Plain Great Expectations: a batch over the data frame."""
    source = gx.get_context(mode="ephemeral").data_sources.pandas_default

    def results(frame: pandas.DataFrame) -> list:
        plain = gx.ExpectationSuite("plain", expectations=[each.copy(deep=True) for each in expected()])
        return source.read_dataframe(frame).validate(plain).results

    return results


def ours(frame: pandas.DataFrame, folder) -> list:
    path = folder / "dataset.parquet"
    frame.assign(at=frame["at"].dt.tz_localize("UTC").astype("datetime64[us, UTC]")).to_parquet(path)
    with duckdb.connect() as connection:
        found = types(connection, path)
        return evaluate(expected(), Scan(connection, view(connection, path, found), found))[0]


def comparable(result) -> dict:
    told = result.result
    return {
        "success": bool(result.success),
        "observed": told.get("observed_value"),
        "values": [shown(value) for value in told.get("partial_unexpected_list", [])],
        **{name: told.get(name) for name in COUNTS},
    }


def shown(value):
    if isinstance(value, dict):
        return {key: str(part) for key, part in value.items()}
    return None if pandas.isna(value) else value


def numbers(observed):
    """An observed value as a number or a list of them; None, NaN and NaT all stand for nothing to observe."""
    if isinstance(observed, dict):
        return [numbers(value) for value in observed["values"]]
    if isinstance(observed, datetime):
        return numpy.nan if pandas.isna(observed) else observed.timestamp()
    return numpy.nan if observed is None else observed


def name_of(config) -> str:
    """The expectation as declared; plain Great Expectations adds the batch."""
    kwargs = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
    return f"{config.type} {json.dumps(kwargs, sort_keys=True, default=datetime.isoformat)}"


@pytest.mark.parametrize("case", FRAMES)
def test_results_equal_plain_great_expectations(case, pandas_results, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "GROUPS", 150)  # so that the keys are compared in parts
    frame = FRAMES[case]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = pandas_results(frame)
    assert not [result for result in plain if result.exception_info.get("raised_exception")]
    by_name = {name_of(result.expectation_config): comparable(result) for result in plain}
    assert all(result.success for result in plain) == (case == "good")
    got = {name_of(result.expectation_config): comparable(result) for result in ours(frame, tmp_path)}
    assert got.keys() == by_name.keys()
    for name, result in got.items():
        observed, other = numbers(result.pop("observed")), numbers(by_name[name].pop("observed"))
        assert result == by_name[name], name
        assert observed == pytest.approx(other, nan_ok=True), name
