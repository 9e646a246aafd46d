import subprocess
import sys

import numpy
import pandas
import pyarrow
import pytest

from << cookiecutter.__package >>.columns import Boolean, Category, Number, Schema, Time, floats, texts
from << cookiecutter.__package >>.schema import SCHEMA

AT = Time(name="at")


@pytest.mark.parametrize("make", [list, pandas.Series, pyarrow.array, lambda values: pyarrow.chunked_array([values])])
def test_columns_of_every_kind_become_the_same_arrays(make):
    assert texts(make(["a", None, ""])).tolist() == ["a", "", ""]
    assert floats(make([1.5, None, 3.0])).dtype == numpy.float32
    numpy.testing.assert_array_equal(floats(make([1.5, None, 3.0])), [1.5, numpy.nan, 3.0])
    numpy.testing.assert_array_equal(floats(make([True, None, False])), [1, numpy.nan, 0])
    assert texts(make([None, None])).tolist() == ["", ""]
    assert numpy.isnan(floats(make([None, None]))).all()


def test_feeds_are_the_features_alone_one_column_each(schemas, synthetic):
    table = synthetic(schemas["binary"], rows=20)
    feeds = schemas["binary"].feeds(table)
    assert list(feeds) == ["colour", "size", "count", "old"]
    assert {array.shape for array in feeds.values()} == {(20, 1)}
    assert feeds["colour"].dtype == object
    assert feeds["size"].dtype == numpy.float32
    frame = schemas["binary"].feeds(table.to_pandas())
    for name, array in feeds.items():
        numpy.testing.assert_array_equal(frame[name], array)


def test_an_absent_feature_is_named(schemas):
    with pytest.raises(KeyError, match="size"):
        schemas["binary"].feeds({"colour": ["red"]})


def test_truth_counts_classes_in_their_order(schemas):
    assert schemas["binary"].truth([True, False]).tolist() == [1, 0]
    assert schemas["multiclass"].truth(["high", "low"]).tolist() == [2, 0]
    assert schemas["regression"].truth([1.5, 2]).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("task", "labels", "says"),
    [
        ("binary", [True, None], "1 missing"),
        ("regression", [None, None], "2 missing"),
        ("multiclass", ["low", "huge"], "'huge' is not one"),
        ("multiclass", ["low", None], "'' is not one"),
    ],
)
def test_truth_refuses_what_is_no_label(schemas, task, labels, says):
    with pytest.raises(ValueError, match=says):
        schemas[task].truth(labels)


@pytest.mark.parametrize(
    ("columns", "settings", "says"),
    [
        ((AT, AT, Boolean(name="y", feature=False)), {}, "declared twice: at"),
        ((AT, Boolean(name="y", feature=False)), {"key": ("id",)}, "no declared column: id"),
        ((AT, Boolean(name="y", feature=False)), {"time": "y"}, "'y' is not declared as Time"),
        ((AT, Boolean(name="y")), {}, "'y' is also a feature"),
    ],
)
def test_a_wrong_declaration_is_refused(columns, settings, says):
    with pytest.raises(ValueError, match=says):
        Schema(columns=columns, **{"key": ("at",), "time": "at", "label": "y", **settings})


def test_classes_follow_the_label():
    def classes(label):
        return Schema(columns=(AT, label), key=("at",), time="at", label="y").classes()

    assert classes(Boolean(name="y", feature=False)) == ("false", "true")
    assert classes(Category(name="y", values=("b", "a"), feature=False)) == ("b", "a")
    assert classes(Number(name="y", feature=False)) == ()


def test_the_schema_of_this_project_gives_one_valid_row():
    feeds = SCHEMA.feeds({name: [value] for name, value in SCHEMA.example().items()})
    assert list(feeds) == [column.name for column in SCHEMA.features]


def test_the_schema_needs_the_standard_library_alone():
    """The service and the load test import it in environments without the training packages."""
    code = f"import sys, {SCHEMA.__class__.__module__.rpartition('.')[0]}.schema; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "pyarrow", "sklearn", "yaml"} & set(loaded)
