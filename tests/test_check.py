"""`check` through its word: good data passes, each kind of bad data fires, and a crash is never a verdict.

The cases run on the first days of the real data, cut from it once; the whole of it is judged in one test.
"""

import csv
import json
from pathlib import Path

import pytest
import yaml
from conftest import commit, copy

DAYS = {"1", "2", "3", "4", "5"}  # of January 2013
AS_OF = "2013-01-07"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def edit(path: Path, change) -> None:
    """Apply `change` to each row of a CSV file, in place."""
    rows = table(path)
    for number, row in enumerate(rows):
        change(number, row)
    write(path, rows)


def gates(project: Path, **changes) -> None:
    path = project / "gates.yaml"
    content = yaml.safe_load(path.read_text())
    content["check"] |= changes
    path.write_text(yaml.safe_dump(content))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def reference(flights: list[dict[str, str]]) -> dict:
    """What `split` would record of these flights, in three columns."""
    arrived = [row for row in flights if row["arr_delay"] != "NA"]
    distances = sorted(float(row["distance"]) for row in arrived)
    carriers = sorted({row["carrier"] for row in arrived})
    return {
        "rows": len(arrived),
        "label": {"missing": 0.0, "mean": mean(float(row["arr_delay"]) > 15 for row in arrived)},
        "features": {
            "carrier": {
                "missing": 0.0,
                "shares": {name: mean(row["carrier"] == name for row in arrived) for name in carriers},
            },
            "distance": {
                "missing": 0.0,
                "mean": mean(distances),
                "quantiles": [distances[tenth * (len(distances) - 1) // 10] for tenth in range(11)],
            },
        },
    }


@pytest.fixture(scope="module")
def few_days(default_project, tmp_path_factory) -> Path:
    """The default project on five days of its data, with the records of a last time committed."""
    project = copy(default_project, tmp_path_factory.mktemp("few-days") / "work")
    for name in ("flights", "weather"):
        path = project / f"data/raw/{name}.csv"
        write(path, [row for row in table(path) if row["month"] == "1" and row["day"] in DAYS])
    gates(project, as_of=AS_OF, maximum_age_days=3)
    profile = reference(table(project / "data/raw/flights.csv"))
    (project / "reports/reference.json").write_text(json.dumps(profile))
    (project / "reports/check.json").write_text(json.dumps({"rows": profile["rows"]}))
    commit(project, "Five days, and what was there last time")
    return project


@pytest.fixture
def small(few_days, tmp_path) -> Path:
    return copy(few_days, tmp_path / "small")


def test_the_real_data_is_good_before_and_after_the_first_training(trained, word):
    record = json.loads((trained / "reports/check.json").read_text())
    assert (record["verdict"], record["rows"]) == ("good", 327_346)
    assert not [told for told in record["expectations"] if "training" in told["rule"]]

    done = word(trained, "check", code=0)
    assert "good: " in done.stdout
    record = json.loads((trained / "build/check.json").read_text())
    compared = [told for told in record["expectations"] if "training" in told["rule"]]
    assert len(compared) > 10
    assert all(told["success"] for told in compared)
    page = (trained / "build/check.html").read_text()
    assert "The data is good" in page
    assert "http" not in page


def test_few_days_pass_and_an_unseen_category_is_noted(small, word):
    edit(small / "data/raw/flights.csv", lambda number, row: row.update(carrier="ZZ") if number < 3 else None)
    done = word(small, "check", code=0)
    assert "warning: carrier: must be one of the 16 declared values; 3 of" in done.stdout
    assert "ZZ" in done.stdout


FLIGHTS, WEATHER = "data/raw/flights.csv", "data/raw/weather.csv"
UNREADABLE = {
    "empty file": (FLIGHTS, lambda content: b"", "data/raw/flights.csv is empty"),
    "header only": (FLIGHTS, lambda content: content.split(b"\n")[0] + b"\n", "a header and no row"),
    "missing column": (WEATHER, lambda content: content.replace(b"pressure", b"druck"), "no column pressure"),
    "wrong type": (WEATHER, lambda content: content.replace(b",270,", b",west,"), "column wind_dir: 'west' is not"),
    "wrong encoding": (FLIGHTS, lambda content: content.replace(b"IAH", "ZÜR".encode("latin-1")), "is not UTF-8"),
    "truncated": (FLIGHTS, lambda content: content[:-30], "breaks off in its last line"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_raw_data_that_cannot_be_read_is_bad(case, small, word):
    name, change, message = UNREADABLE[case]
    path = small / name
    path.write_bytes(change(path.read_bytes()))
    done = word(small, "check", code=1)
    assert message in done.stdout
    assert "->" in done.stdout


def test_each_broken_rule_is_named_with_its_count_and_examples(small, word):
    path = small / FLIGHTS
    flights = [row for row in table(path) if row["arr_delay"] != "NA"]
    for row in flights[:4]:
        row["origin"] = "LHR"
    for row, far in zip(flights[10:14], (6001, 7002, 8003, 9004), strict=True):
        row["distance"] = str(far)
    write(path, flights + flights[20:22])
    rows = f"{len(flights) + 2:,}"
    told = word(small, "check", code=1).stderr
    broken = f"4 of {rows} values break this, for example"
    assert f"origin: must be one of EWR, JFK, LGA; {broken} LHR" in told
    assert f"distance: must be between 10 and 6000 miles; {broken} 6001, 7002, 8003" in told
    assert f"carrier + flight + origin + departure: must name one row; {broken}" in told
    page = (small / "build/check.html").read_text()
    assert page.index("The data is bad") < page.index("LHR") < page.index("What holds")


def test_data_that_has_shifted_or_shrunk_is_bad(small, word):
    path = small / FLIGHTS
    flights = table(path)[:3000]
    for row in flights:
        row["distance"] = str(round(float(row["distance"]) * 1.61))
        row["carrier"] = "HA" if row["carrier"] in ("UA", "B6") else row["carrier"]
        row["arr_delay"] = row["arr_delay"] if row["arr_delay"] == "NA" else str(float(row["arr_delay"]) + 20)
    write(path, flights)
    told = word(small, "check", code=1).stderr
    assert "rows, after" in told
    assert "distance: its quantiles" in told
    assert "carrier: the divergence of its shares" in told
    assert "late: the share of true must be within 0.1 of training's" in told


def test_stale_data_and_a_label_of_one_class_are_bad(small, word):
    gates(small, as_of="2013-03-01")
    edit(small / FLIGHTS, lambda number, row: row.update(arr_delay="0") if row["arr_delay"] != "NA" else None)
    told = word(small, "check", code=1).stderr
    assert "departure: the newest must be from 2013-02-26 00:00 to 2013-03-01 00:00; it is 2013-01-" in told
    assert "late: the share of true must be between 0.02 and 0.98; it is 0" in told


def test_what_cannot_be_judged_is_no_verdict(small, word):
    weather = small / WEATHER
    content = weather.read_bytes()
    weather.unlink()
    done = word(small, "check", code=2)
    assert "the raw data is not here: data/raw/weather.csv" in done.stderr
    assert "make data" in done.stderr

    weather.write_bytes(content)
    (small / "gates.yaml").write_text("check: [")
    assert "crashed" not in word(small, "check", code=2).stderr

    (small / "gates.yaml").write_text("gate: {}\n")
    assert "section `check`" in word(small, "check", code=2).stderr
