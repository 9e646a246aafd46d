import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow
import pyarrow.parquet as parquet
import pytest
import yaml

from << cookiecutter.__package >>.columns import Boolean, Category, Number
from << cookiecutter.__package >>.outcome import Bad
from << cookiecutter.__package >>.schema import SCHEMA
from << cookiecutter.__package >>.split import cut, main, profile, windows

GOOD = {
    "train": ["2013-01-01", "2013-02-01"],
    "validation": ["2013-02-01", "2013-03-01"],
    "test": ["2013-03-01", "2013-04-01"],
}


def test_windows_are_in_utc():
    start, end = windows(GOOD | {"test": ["2013-03-01T02:00:00+02:00", "2013-04-01"]})["test"]
    assert start == datetime(2013, 3, 1, tzinfo=UTC)
    assert end == datetime(2013, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"validation": ["2013-01-31", "2013-03-01"]}, "validation starts at 2013-01-31 00:00, before split.train"),
        ({"train": ["2013-02-01", "2013-01-01"]}, "split.train ends before it starts"),
        ({"test": ["2013-03-01", "2013-03-01"]}, "split.test ends before it starts"),
        ({"train": ["2013-05-01", "2013-06-01"]}, "before split.train ends"),
        ({"test": ["soon", "later"]}, "split.test is not a pair of dates"),
        ({"test": ["2013-03-01"]}, "split.test is not a pair of dates"),
        ({"test": None}, "split.test is not a pair of dates"),
    ],
)
def test_windows_that_are_none_are_refused(change, says):
    with pytest.raises(Bad, match=says):
        windows(GOOD | change)


def test_a_window_holds_its_start_and_not_its_end(synthetic):
    table = synthetic(rows=49)
    start = datetime(2013, 1, 2, tzinfo=UTC)
    times = cut(table, (start, start + timedelta(hours=24)))[SCHEMA.time].to_pylist()
    assert times[0] == start
    assert times[-1] == start + timedelta(hours=23)


def test_profiles():
    numbers = profile(Number(name="x"), pyarrow.chunked_array([[0.0, 10.0, 5.0, None]]))
    assert numbers == {"missing": 0.25, "mean": 5.0, "quantiles": [float(value) for value in range(11)]}
    flags = profile(Boolean(name="x"), pyarrow.chunked_array([[True, False, False, None]]))
    assert flags == {"missing": 0.25, "mean": 0.333333}
    texts = profile(Category(name="x"), pyarrow.chunked_array([["b", "a", "b", None]]))
    assert texts == {"missing": 0.25, "shares": {"a": 0.25, "b": 0.5}}
    nothing = profile(Number(name="x"), pyarrow.chunked_array([[None, None]], type=pyarrow.float64()))
    assert nothing == {"missing": 1.0, "mean": None, "quantiles": []}


def test_the_parts_share_no_row_and_the_profile_is_of_training(workplace, synthetic):
    parquet.write_table(synthetic(rows=600), "data/dataset.parquet")
    main([])
    parts = [parquet.read_table(f"data/{name}.parquet") for name in GOOD]
    assert [part.num_rows for part in parts] == [360, 72, 168]
    for earlier, later in pairwise(parts):
        assert max(earlier[SCHEMA.time].to_pylist()) < min(later[SCHEMA.time].to_pylist())
    profiled = json.loads((workplace / "reports/reference.json").read_text())
    assert profiled["rows"] == 360
    assert list(profiled["features"]) == sorted(column.name for column in SCHEMA.features)


def test_an_empty_window_is_refused_with_the_reach_of_the_data(workplace, synthetic):
    parquet.write_table(synthetic(rows=600), "data/dataset.parquet")
    params = yaml.safe_load((workplace / "params.yaml").read_text())
    params["split"]["test"] = ["2014-01-01", "2014-02-01"]
    (workplace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(Bad, match=r"split\.test holds no rows: the data reaches from 2013-01-01"):
        main([])
    assert not (workplace / "data/train.parquet").exists()
