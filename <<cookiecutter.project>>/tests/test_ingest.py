"""The data set holds what is known at scheduled departure and nothing else, and bad raw files are named."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from << cookiecutter.__package >> import ingest
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

SETTINGS = {"late_after_minutes": 15, "weather_staleness_hours": 3}
FLIGHT = {
    "year": 2013, "month": 1, "day": 1, "dep_time": 517, "sched_dep_time": 515, "dep_delay": 2, "arr_time": 830,
    "sched_arr_time": 819, "arr_delay": 11, "carrier": "UA", "flight": 1545, "tailnum": "N14228", "origin": "EWR",
    "dest": "IAH", "air_time": 227, "distance": 1400, "hour": 5, "minute": 15, "time_hour": "2013-01-01T10:00:00Z",
}  # fmt: skip
WEATHER = {
    "origin": "EWR", "year": 2013, "month": 1, "day": 1, "hour": 4, "temp": 39.02, "dewp": 28.04, "humid": 64.43,
    "wind_dir": 240, "wind_speed": 11.5, "wind_gust": "NA", "precip": 0, "pressure": 1012.5, "visib": 10,
    "time_hour": "2013-01-01T09:00:00Z",
}  # fmt: skip
FEATURES = [column.name for column in SCHEMA.features]


def write(path: Path, rows: list[dict]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def built(tmp_path):
    """`built(flights, weather)`: the rows of the data set and the counts, of changes to one flight and observation."""

    def build(flights=({},), weather=({},), **settings):
        flown = write(tmp_path / "flights.csv", [FLIGHT | change for change in flights])
        seen = write(tmp_path / "weather.csv", [WEATHER | change for change in weather])
        counts = ingest.build(flown, seen, tmp_path / "dataset.parquet", SETTINGS | settings)
        return parquet.read_table(tmp_path / "dataset.parquet").to_pylist(), counts

    return build


def test_a_flight_with_its_weather(built):
    [row], counts = built()
    assert list(row) == [column.name for column in SCHEMA]
    assert row["departure"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert (row["weekday"], row["hour"], row["temp"], row["wind_gust"], row["late"]) == (2, 5, 39.02, None, False)
    assert (counts["rows"], counts["late"], counts["weather_missing"]) == (1, 0, 0)


@pytest.mark.parametrize(("delay", "late"), [(15, False), (16, True), (-20, False)])
def test_late_is_more_than_the_limit(built, delay, late):
    assert built([{"arr_delay": delay}])[0][0]["late"] is late


def test_no_feature_depends_on_what_is_known_after_the_scheduled_departure(built):
    [plain], _ = built()
    later = {"dep_time": 900, "dep_delay": 225, "arr_time": 1200, "arr_delay": 240, "air_time": 999, "tailnum": "N1"}
    [delayed], _ = built([later])
    assert {name: delayed[name] for name in FEATURES} == {name: plain[name] for name in FEATURES}
    assert delayed["late"] is not plain["late"]


@pytest.mark.parametrize("minute", [0, 15])
def test_an_observation_at_or_after_departure_is_not_used(built, minute):
    planted = {"temp": 99.0, "time_hour": f"2013-01-01T10:{minute:02}:00Z"}
    [row], _ = built([{"minute": minute}], [{}, planted])
    assert row["temp"] == 39.02
    [row], counts = built([{"minute": minute}], [planted])
    assert (row["temp"], counts["weather_missing"]) == (None, 1)


def test_the_latest_observation_of_the_same_airport_is_used(built):
    older, elsewhere = {"temp": 1.0, "time_hour": "2013-01-01T08:00:00Z"}, {"temp": 2.0, "origin": "JFK"}
    assert built(weather=[older, {}, elsewhere, older])[0][0]["temp"] == 39.02


@pytest.mark.parametrize(("observed", "used"), [("07:15", True), ("07:14", False)])
def test_an_observation_that_is_too_old_counts_as_missing(built, observed, used):
    [row], counts = built(weather=[{"time_hour": f"2013-01-01T{observed}:00Z"}])
    assert (row["temp"] is not None, counts["weather_missing"]) == (used, 0 if used else 1)


def test_what_is_left_out_is_counted(built):
    cancelled, diverted = {"dep_time": "NA", "arr_delay": "NA"}, {"arr_delay": "NA"}
    rows, counts = built([{}, cancelled, diverted, {"flight": 7}], [{"wind_speed": 1048.36}])
    assert (counts["flights"], counts["cancelled"], counts["diverted"], counts["rows"]) == (4, 1, 1, 2)
    assert counts["wind_speed_absurd"] == 1
    assert rows[0]["wind_speed"] is None


def test_rows_are_ordered_and_bytes_repeat(built, tmp_path):
    flights = [{"minute": minute, "flight": flight} for minute in (50, 10, 30) for flight in (9, 3)]
    rows, _ = built(flights)
    first = (tmp_path / "dataset.parquet").read_bytes()
    again, _ = built(flights[::-1])
    assert [(row["minute"], row["flight"]) for row in rows] == [(m, f) for m in (10, 30, 50) for f in (3, 9)]
    assert again == rows
    assert (tmp_path / "dataset.parquet").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.parquet", "flights.csv", "weather.csv"]


def test_other_columns_and_another_order_do_not_matter(built, tmp_path):
    rows, _ = built()
    flown = write(tmp_path / "flights.csv", [dict(reversed(FLIGHT.items())) | {"new": "x,y"}])
    ingest.build(flown, tmp_path / "weather.csv", tmp_path / "dataset.parquet", SETTINGS)
    assert parquet.read_table(tmp_path / "dataset.parquet").to_pylist() == rows


GOOD = ",".join(map(str, FLIGHT)) + "\n" + 3 * (",".join(map(str, FLIGHT.values())) + "\n")
BROKEN = {
    "empty": (b"", "is empty"),
    "header only": (GOOD.splitlines(True)[0].encode(), "a header and no row"),
    "missing column": (GOOD.replace("arr_delay", "arrival").encode(), "line 1: no column arr_delay"),
    "repeated column": (GOOD.replace("tailnum", "flight").encode(), "more than one column flight"),
    "wrong type": (GOOD.replace(",11,", ",eleven,").encode(), "line 2, column arr_delay: 'eleven' is not of type"),
    "wrong time": (GOOD.replace("2013-01-01T10", "1 Jan").encode(), "line 2, column time_hour: "),
    "cut in a field": (GOOD[:-9].encode(), "breaks off in its last line"),
    "cut line": ((GOOD[:-40] + "\n").encode(), "line 4: "),
    "Latin-1": (GOOD.replace("IAH", "Zürich").encode("latin-1"), "is not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "is UTF-16"),
    "all cancelled": (GOOD.replace(",517,", ",NA,").encode(), "has an arrival delay"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(case, tmp_path):
    content, message = BROKEN[case]
    (tmp_path / "flights.csv").write_bytes(content)
    write(tmp_path / "weather.csv", [WEATHER])
    with pytest.raises(Bad, match=r"flights\.csv") as raised:
        ingest.build(tmp_path / "flights.csv", tmp_path / "weather.csv", tmp_path / "dataset.parquet", SETTINGS)
    assert message in raised.value.what
    assert raised.value.remedy
    assert not (tmp_path / "dataset.parquet").exists()


def test_an_absent_file_is_not_judged(tmp_path):
    with pytest.raises(Unjudged, match="is not here"):
        ingest.build(tmp_path / "flights.csv", tmp_path / "weather.csv", tmp_path / "dataset.parquet", SETTINGS)
