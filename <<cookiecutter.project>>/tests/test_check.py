"""The verdict on a data set: what is bad, what is only noted, and what could not be judged."""

import json
import subprocess
from datetime import datetime
from pathlib import Path

import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import pytest
import yaml

from << cookiecutter.__package >>.check import page
from << cookiecutter.__package >>.check.judge import judge
from << cookiecutter.__package >>.check.suite import at
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.split import profile

ROWS = 1200  # hourly, so that the newest is of 19 February
NOW = datetime(2013, 2, 20)
GATES = {
    "maximum_age_days": 7,
    "minimum_rows": 100,
    "rows_against_last": [0.9, 2.0],
    "minimum_class_share": 0.05,
    "against_training": {"label_share": 0.1, "quantile": 0.2, "divergence": 0.1, "except": ["serial"]},
}


def reference(schema, table: pyarrow.Table) -> dict:
    profiles = {column.name: profile(column, table[column.name]) for column in schema.features}
    return {"label": profile(schema[schema.label], table[schema.label]), "features": profiles}


@pytest.fixture
def judged(schemas, synthetic, tmp_path):
    """`judged(change, task)`: the verdict on a good table after a change, against the good one as the reference."""

    def verdict(change=lambda table: table, task="binary", **given):
        schema = schemas[task]
        table = synthetic(schema, ROWS)
        parquet.write_table(change(table), tmp_path / "dataset.parquet")
        given = {"reference": reference(schema, table), "last_rows": ROWS} | given
        return judge(tmp_path / "dataset.parquet", schema, GATES, NOW, **given)

    return verdict


def put(name: str, *values, rows: int = 40, start: int = 0):
    """A change: this column's rows from `start` are these values in turn."""

    def change(table: pyarrow.Table) -> pyarrow.Table:
        content = table[name].to_pylist()
        content[start : start + rows] = [values[row % len(values)] for row in range(rows)]
        return table.set_column(table.column_names.index(name), name, pyarrow.array(content, table[name].type))

    return change


def cast(name: str, kind: pyarrow.DataType):
    return lambda table: table.set_column(table.column_names.index(name), name, table[name].cast(kind))


def shifted(name: str, by: float):
    return lambda table: table.set_column(table.column_names.index(name), name, compute.add(table[name], by))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_good_data_is_good(judged, task):
    judgement = judged(task=task)
    assert judgement.good
    assert not judgement.notes
    assert not [finding.sentence() for finding in judgement.findings if not finding.success]
    assert judgement.rows == ROWS
    assert json.dumps(judgement.record()) == json.dumps(judged(task=task).record())


CRITICAL = {
    "no row": (lambda table: table.slice(0, 0), "table: at least 100 rows; it is 0"),
    "fewer rows than last time": (lambda table: table.slice(200), "table: 1,080 to 2,400 rows, after 1,200 last time"),
    "missing column": (lambda table: table.drop_columns(["size"]), "size: the column must exist"),
    "wrong type": (cast("count", pyarrow.string()), "count: must be of type BIGINT; it is VARCHAR"),
    "time without a zone": (cast("at", pyarrow.timestamp("us")), "at: must be of type TIMESTAMP WITH TIME ZONE"),
    "missing": (put("serial", None), "serial: must not be missing; 40 of 1,200 values break this"),
    "too many missing": (put("size", None, rows=500), "size: must not be missing in more than 20%"),
    "out of range": (
        put("count", 51, 52, 53, 54),
        "count: must be between 0 and 50; 40 of 1,200 values break this, for example 51, 52, 53",
    ),
    "repeated key": (
        put("serial", 7, rows=3),
        "serial: must name one row; 3 of 1,200 values break this, for example 7",
    ),
    "one class": (put("label", True, rows=ROWS), "label: the share of true must be between 0.05 and 0.95; it is 1"),
    "other label share": (put("label", True, rows=500), "label: the share of true must be within 0.1 of training's"),
    "stale": (lambda table: table.slice(0, 1190 - 7 * 24), "at: the newest"),
    "other categories": (put("colour", "red", rows=900), "colour: the divergence of its shares from training's"),
    "shifted": (shifted("size", 4.0), "size: its quantiles 0.3, 0.5, 0.7 must be within 0.2 of training's"),
    "other share": (put("old", True, rows=700), "old: the share of true must be within 0.2 of training's"),
}


@pytest.mark.parametrize("case", CRITICAL)
def test_bad_data_is_bad_and_says_why(judged, case):
    change, sentence = CRITICAL[case]
    judgement = judged(change)
    assert not judgement.good
    assert [finding for finding in judgement.failed("critical") if finding.sentence().startswith(sentence)]


def test_a_class_that_is_absent_and_a_number_that_is_constant_are_bad(judged):
    assert not judged(put("label", "low", rows=ROWS), "multiclass", reference=None).good
    assert not judged(put("label", 1.5, rows=ROWS), "regression", reference=None).good


def test_a_value_outside_a_closed_category_is_bad(judged):
    judgement = judged(put("label", "huge", rows=1), "multiclass")
    [finding] = judgement.failed("critical")
    told = "label: must be one of low, middle, high; 1 of 1,200 values break this, for example huge"
    assert finding.sentence() == told


def test_warnings_pass_with_a_note(judged):
    judgement = judged(put("colour", "mauve", rows=3))
    assert judgement.good
    assert [finding.examples for finding in judgement.failed("warning")] == [["mauve"]]
    judgement = judged(lambda table: table.append_column("extra", table["size"]))
    assert judgement.good
    assert judgement.notes == ["column extra is not in the schema"]
    assert len(judgement.failed("warning")) == 1


def test_what_depends_on_a_broken_column_is_not_judged(judged):
    judgement = judged(cast("count", pyarrow.string()))
    untold = [finding for finding in judgement.findings if finding.success is None]
    assert {finding.subject for finding in untold} == {"count"}
    assert len(judgement.failed("critical")) == 1


def test_the_first_time_there_is_nothing_to_compare_with(judged):
    judgement = judged(shifted("size", 2.0), reference=None, last_rows=None)
    assert len(judgement.notes) == 2
    assert not [finding for finding in judgement.findings if "training" in finding.rule or "last time" in finding.rule]


def test_an_expectation_that_raises_is_no_verdict(judged, monkeypatch):
    monkeypatch.setitem(GATES["against_training"], "divergence", -1)
    with pytest.raises(Unjudged, match=r"colour: .*: could not be evaluated: Threshold"):
        judged()


def test_files_that_are_no_parquet_file_are_bad(schemas, synthetic, tmp_path):
    path = tmp_path / "dataset.parquet"
    parquet.write_table(synthetic(schemas["binary"], ROWS), path)
    whole = path.read_bytes()
    contents = {"is an empty file": b"", "not a whole": whole[:-50], "Parquet": b"a,b\n1,2\n" * 99}
    contents["whole Parquet file"] = whole[:100] + bytes(900) + whole[1000:]
    for message, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(Bad, match=message):
            judge(path, schemas["binary"], GATES, NOW)
    path.unlink()
    with pytest.raises(Unjudged, match="is not here"):
        judge(path, schemas["binary"], GATES, NOW)


def test_ranks_between_quantiles():
    points = {-1: 0, 0: 0, 0.25: 5, 0.5: 10, 0.7: 14, 1: 20, 2: 20}
    assert [at([0, 10, 20], point) for point in points] == pytest.approx(list(points.values()))


@pytest.fixture
def repository(workplace: Path, synthetic) -> Path:
    """A folder as the stage finds it: gates.yaml, a good data set, a git history without reports."""
    gates = yaml.safe_load((Path(__file__).parent.parent / "gates.yaml").read_text())
    gates["check"] |= {"as_of": "2013-01-27", "minimum_rows": 100}
    (workplace / "gates.yaml").write_text(yaml.safe_dump(gates))
    parquet.write_table(synthetic(), workplace / "data/dataset.parquet")
    git(workplace, "init", "--quiet")
    git(workplace, "add", "gates.yaml")
    git(workplace, "commit", "--quiet", "--message", "first")
    return workplace


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def test_the_verdict_is_written_and_the_next_one_compares(repository, capsys):
    page.check(repository / "reports")
    assert "no earlier check" in capsys.readouterr().out
    record = json.loads((repository / "reports/check.json").read_text())
    assert (record["verdict"], record["rows"]) == ("good", 600)
    html = (repository / "reports/check.html").read_text()
    assert "The data is good" in html
    assert not [outside for outside in ("http:", "https:", "<script", "<link", "@import") if outside in html]

    git(repository, "add", "reports/check.json")
    git(repository, "commit", "--quiet", "--message", "second")
    table = parquet.read_table(repository / "data/dataset.parquet")
    parquet.write_table(table.slice(100), repository / "data/dataset.parquet")
    with pytest.raises(Bad, match="table: 540 to 1,200 rows, after 600 last time; it is 500") as raised:
        page.check(repository / "reports")
    assert "check.html" in raised.value.remedy
    assert "The data is bad" in (repository / "reports/check.html").read_text()


def test_what_is_said_on_the_page_is_escaped(judged, schemas):
    text = page.html(judged(put("colour", "<script>alert(1)</script>")), schemas["binary"])
    assert "&lt;script&gt;" in text
    assert "<script" not in text


@pytest.mark.parametrize("content", ["check: [", "other: 1", "", "check: null"])
def test_gates_that_cannot_be_read_are_no_verdict(content, tmp_path):
    (tmp_path / "gates.yaml").write_text(content)
    with pytest.raises(Unjudged, match="section `check`"):
        page.thresholds(tmp_path / "gates.yaml")


def test_no_repository_is_no_verdict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(Unjudged, match="git cannot tell"):
        page.committed("reports/check.json")
