"""The comparison's numbers, and the report as Markdown, charts and page."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from comparisons import GATES, made

from ci.compare import changes, comparison, markdown, mermaid, page, text
from ci.compare.verdict import judge
from << cookiecutter.__package >>.metrics import measure

TASKS = ("binary", "multiclass", "regression")
VOID = {"meta", "br", "link", "path", "use", "rect", "defs"}


@pytest.mark.parametrize("task", TASKS)
def test_differences_are_candidate_minus_champion(task):
    numbers, scored = made(task, rows=3000, own=0.4, theirs=0.8)
    own, theirs = (measure(task, scored.truth, scores) for scores in (scored.candidate, scored.champion))
    for name, entry in numbers["differences"].items():
        assert entry["difference"] == pytest.approx(own[name] - theirs[name])
        assert entry["low"] < entry["difference"] < entry["high"]
    json.loads(json.dumps(numbers, allow_nan=False))


def test_slices_and_periods_cover_the_rows():
    numbers, _ = made(rows=9000)
    region = numbers["slices"]["region"]
    counts = {value: entry["rows"] for value, entry in region.items()}
    assert counts == {"north": 3000, "south|`<b>`": 3000, "(missing)": 3000}
    assert [entry["period"] for entry in numbers["periods"]] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert sum(entry["rows"] for entry in numbers["periods"]) == 9000
    assert sum(point["rows"] for point in numbers["calibration"]["candidate"]) == 9000


def test_small_slices_are_left_out():
    column = pa.chunked_array([["a"] * 60 + ["b"] * 40])
    _, scored = made(rows=100)
    found = comparison._slice(scored, column, {**GATES["gate"]["binary"]}, {"minimum_slice_rows": 50})
    assert list(found) == ["a"]


def test_one_class_leaves_null_and_no_crash():
    _, scored = made(rows=300)
    lonely = comparison.Scored("binary", np.zeros(300, dtype=int), scored.candidate, scored.champion, scored.classes)
    rules = {**GATES["gate"]["binary"], "resamples": 20}
    assert np.isnan(comparison._differences(lonely, rules)["auc"]["low"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("choices", [{}, {"own": 0.5}, {"theirs": None}, {"own": 3.0, "theirs": 0.3}], ids=str)
def test_the_first_line_is_the_verdict(task, choices):
    numbers, _ = made(task, rows=3000, **choices)
    verdict = judge(numbers, GATES)
    report = markdown.render(numbers, verdict)
    first = report.splitlines()[0]
    assert first.startswith(f"### {markdown.MARKS[verdict.verdict]} {verdict.verdict}: ")
    assert report.count("```") % 2 == 0
    assert report.count("<details>") == report.count("</details>")
    assert "train&#46;seed" in report
    assert "3.0 s on cpu, 512 MB" in report


def test_worse_slices_are_told_worst_first():
    def entry(loss):
        spread = {"difference": -loss, "low": -loss - 0.01, "high": -loss + 0.01}
        return {"rows": 900, "candidate": 0.7 - loss, "champion": 0.7, **spread}

    slices = {"region": {"a": entry(0.02), "b": entry(0.05), "c": entry(0.0)}}
    numbers, _ = made(slices=slices)
    assert [row[0] for row in markdown.worse(numbers)] == ["region b", "region a"]
    assert "(2 of 3)" in markdown.render(numbers, judge(numbers, GATES))


def test_a_report_is_never_too_long(monkeypatch):
    long = "x" * 500
    entry = {"rows": 900, "candidate": 0.6, "champion": 0.7, "difference": -0.1, "low": -0.2, "high": -0.05}
    numbers, _ = made(
        slices={f"{column}{long}": {f"{value}{long}": entry for value in range(200)} for column in range(40)},
        changes={
            "revision": "e" * 40,
            "data": [f"{number} {long}" for number in range(500)],
            "counts": [],
            "parameters": [[f"{number}{long}", long, None] for number in range(500)],
        },
    )
    report = markdown.render(numbers, judge(numbers, GATES))
    assert 20_000 < len(report) <= markdown.LIMIT
    assert "more in reports/report.html" in report
    monkeypatch.setattr(markdown, "LIMIT", 9000)
    shorter = markdown.render(numbers, judge(numbers, GATES))
    assert len(shorter) <= 9000
    assert "The rest is in reports/report.html" in shorter
    for text_of in (report, shorter):
        assert text_of.count("```") % 2 == 0
        assert text_of.count("<details>") == text_of.count("</details>")


HOSTILE = ["a|b", "`x`", "<b>", "@team", "#12", "![i](u)", "*b*", "_b_", "a\nb", "&amp;", "\\", "~~a~~", "$x$"]


@pytest.mark.parametrize("value", [*HOSTILE, "http://x.example", "www.x.example", "me@x.example"])
def test_values_from_the_data_are_only_text(value):
    shown = text.escape(value)
    assert not re.search(r"[|`<@\[\]*\\~$\n]|#(?!\d)|://|www\.|&(?!#\d+;)|\b_|_\b", shown)


def test_escaping_leaves_numbers_and_words_readable():
    for value in ("0.6871", "+0.0007", "-0.5 to 0.5", "average_precision", "2013-10-01", "12:30", "12%"):
        assert text.escape(value) == value
    assert len(text.cut("word " * 99)) == text.LONGEST


def test_mermaid_labels_cannot_break_out():
    block = mermaid.block('a"b %%{init: {}}%% `c`', "x\ny", ['"]', "%%", "end"], [1, 2, 3], [1, 1, 1])
    title, x_axis, y_axis, *_ = block.splitlines()[3:]
    assert title.count('"') == 2
    assert y_axis.count('"') == 2
    assert x_axis == '    x-axis ["_]", "__", "end"]'.replace("]\"", "_\"")
    assert block.count("%%{") == 1


def test_charts_leave_out_what_is_undefined():
    numbers, _ = made(rows=3000)
    numbers["periods"][0]["candidate"] = None
    chart = mermaid.charts(numbers)[1]
    assert "2024-01" not in chart
    assert "2024-02" in chart
    assert mermaid.block("t", "y", [], [], []) == ""


class Nesting(HTMLParser):
    """Collects what a page loads and which tags stay open."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.loads, self.figures = [], [], 0

    def handle_starttag(self, tag, attributes):
        links = [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.loads += [link for link in links if not link.startswith("#")]
        self.figures += tag == "figure"
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize(("task", "theirs"), [("binary", 0.5), ("multiclass", None), ("regression", 0.5)])
def test_the_page_stands_alone(task, theirs, tmp_path, monkeypatch):
    rounds = tmp_path / "rounds.csv"
    rounds.write_text("round,train_loss,validation_loss\n1,0.5,0.6\n2,0.4,0.55\n")
    monkeypatch.setattr("ci.compare.figures.ROUNDS", rounds)
    numbers, scored = made(task, rows=2000, theirs=theirs)
    html = page.render(numbers, judge(numbers, GATES), scored)
    seen = Nesting()
    seen.feed(html)
    assert seen.open == []
    assert seen.loads == []
    assert seen.figures >= 3
    assert "url(http" not in html
    assert "<b>`" not in html  # the slice's name is data, not markup
    assert "south|`&lt;b&gt;`" in html


def test_changes_of_the_data_are_told():
    before = {
        "rows": 1000, "first": "2024-01-01T00:00:00", "last": "2024-02-01T00:00:00",
        "label": {"missing": 0.0, "mean": 0.2},
        "features": {
            "colour": {"missing": 0.0, "shares": {"red": 0.5, "blue": 0.5}},
            "size": {"missing": 0.0, "mean": 1.0, "quantiles": [0, 0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 1.8, 2]},
            "gone": {"missing": 0.0, "mean": 0.5},
        },
    }  # fmt: skip
    now = json.loads(json.dumps(before))
    assert changes.data(before, now) == []
    now["rows"], now["label"]["mean"] = 1500, 0.4
    now["features"]["colour"] = {"missing": 0.1, "shares": {"red": 0.4, "green": 0.5}}
    now["features"]["size"] |= {"mean": 1.9, "quantiles": [0, 0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 1.8, 9]}
    now["features"]["new"] = now["features"].pop("gone")
    assert changes.data(before, now) == [
        "training rows: 1,000 -> 1,500 (+50.0%)",
        "label, share of true: 20.0% -> 40.0%",
        "new feature: new",
        "feature gone: gone",
        "colour, missing: 0.0% -> 10.0%",
        "colour, new values: green",
        "colour, values gone: blue",
        "colour, share of red: 50.0% -> 40.0%",
        "size, range: 0 to 2 -> 0 to 9",
        "size, mean: 1 -> 1.9",
    ]


def test_changes_of_parameters_are_told():
    assert changes.differing({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"b": 2, "c": [1, 2]}, "e": None}) == [
        ["a.b", 1, 2],
        ["d", 1, None],
    ]
