"""The verdict over a data set: every expectation's result, made by Great Expectations from the metrics of the scan."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.validator.metric_configuration import MetricConfiguration

from ..columns import Boolean, Category, Column, Number, Schema, Time
from ..outcome import Bad, Unjudged
from . import suite
from .scan import SHOWN, Scan, row_of_types, types, view

FORMAT = {"result_format": {"result_format": "BASIC", "partial_unexpected_count": SHOWN}}
MEMORY = "1500MB"  # of DuckDB; what does not fit spills to disk beside the data set
NO_FILE = "Run `make data`, then `python -m dvc repro dataset`."


@dataclass(frozen=True)
class Finding:
    """One expectation's result. `success` is None where it could not apply: its column is absent or of another type."""

    subject: str  # a column, columns joined by +, or "table"
    rule: str
    severity: str
    success: bool | None
    expectation: str
    rows: int | None = None
    missing: int | None = None
    unexpected: int | None = None
    observed: Any = None
    examples: list[Any] = field(default_factory=list)

    def sentence(self) -> str:
        """The rule, and by how much and with which values it is broken."""
        told = f"{self.subject}: {self.rule}"
        if self.unexpected is not None:
            shown = f", for example {short(self.examples)}" if self.examples else ""
            return f"{told}; {self.unexpected:,} of {self.rows:,} values break this{shown}"
        return told if self.observed is None else f"{told}; it is {short(self.observed)}"


@dataclass(frozen=True)
class Judgement:
    rows: int
    findings: list[Finding]
    columns: list[dict[str, Any]]  # what is there, column by column
    notes: list[str]
    severest: str | None  # of the failures: "critical", "warning" or None

    @property
    def good(self) -> bool:
        return self.severest != "critical"

    def failed(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.success is False and finding.severity == severity]

    def record(self) -> dict[str, Any]:
        """What is kept as JSON; the same data, schema, gates and reference give the same record."""
        return {
            "verdict": "good" if self.good else "bad",
            "rows": self.rows,
            "failed": {severity: len(self.failed(severity)) for severity in ("critical", "warning")},
            "notes": self.notes,
            "columns": self.columns,
            "expectations": [asdict(finding) for finding in self.findings],
        }


def judge(
    dataset: Path,
    schema: Schema,
    gates: dict[str, Any],
    now: datetime,
    reference: dict[str, Any] | None = None,
    last_rows: int | None = None,
) -> Judgement:
    """Judge a Parquet file against the schema, `gates.yaml: check` and, where there is one, the training reference.

    Raises Bad for a file that is no readable Parquet file, Unjudged where it is absent or an expectation cannot be
    evaluated.
    """
    if not dataset.exists():
        raise Unjudged(f"{dataset} is not here", NO_FILE)
    with (
        tempfile.TemporaryDirectory(dir=dataset.parent, prefix=".check-") as scratch,
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": scratch}) as connection,
    ):
        try:
            return _judge(connection, dataset, schema, gates, now, reference, last_rows)
        except duckdb.Error as error:
            fault = unreadable(dataset)
            if fault:
                raise fault from error
            raise


def _judge(connection, dataset, schema, gates, now, reference, last_rows) -> Judgement:
    found = types(connection, dataset)
    notes = [f"column {name} is not in the schema" for name in found if name not in {column.name for column in schema}]
    wanted = [*suite.project(schema, gates, now, last_rows), *suite.values(schema)]
    if reference:
        wanted += suite.shift(schema, gates["against_training"], reference)
    else:
        notes.append("distributions were not compared: no training reference has been committed yet")
    if not last_rows:
        notes.append("the row count was not compared: no earlier check has been committed yet")

    sound = {column.name for column in schema if found.get(column.name) == suite.kind(column)}
    able = [expectation for expectation in wanted if sound.issuperset(columns_of(expectation.configuration))]
    unable = [expectation for expectation in wanted if not sound.issuperset(columns_of(expectation.configuration))]
    asked = {column.name: profile(column) for column in schema if column.name in sound}

    shapes, _ = evaluate(suite.shape(schema, list(found)), Scan(connection, row_of_types(connection, found), found))
    scan = Scan(connection, view(connection, dataset, found), found)
    results, metrics = evaluate(able, scan, (metric for profiled in asked.values() for metric in profiled.values()))

    every = shapes + results
    whole = ExpectationSuiteValidationResult(all(result.success for result in every), every, suite_name="dataset")
    worst = whole.get_max_severity_failure()
    rows = metrics[ROWS.id]
    return Judgement(
        rows=rows,
        findings=[*map(of_shape, map(finding, shapes)), *map(finding, results), *map(untold, unable)],
        columns=[
            {"name": name, "missing": rows - metrics[profiled["present"].id]}
            | {key: plain(metrics[metric.id]) for key, metric in profiled.items() if key != "present"}
            for name, profiled in asked.items()
        ],
        notes=notes,
        severest=worst.value if worst else None,
    )


ROWS = MetricConfiguration("table.row_count", {})


def profile(column: Column) -> dict[str, MetricConfiguration]:
    """The metrics that describe a column on the page."""
    names = {"present": "column_values.nonnull.count"}
    names |= {"values": "column.distinct_values.count"} if isinstance(column, Category) else {}
    names |= {"lowest": "column.min", "highest": "column.max"} if isinstance(column, Number | Time) else {}
    names |= {"mean": "column.mean"} if isinstance(column, Number | Boolean) else {}
    return {key: MetricConfiguration(name, {"column": column.name}) for key, name in names.items()}


def evaluate(
    expectations: list[Expectation], scan: Scan, more: Iterable[MetricConfiguration] = ()
) -> tuple[list[ExpectationValidationResult], dict[Any, Any]]:
    """Great Expectations' result of each expectation, and the metrics of the scan by the id of their configuration.

    Raises Unjudged for an expectation that raises: that is a fault in what it was given, not in the data.
    """
    wanted, results = [ROWS, *more], []
    for expectation in expectations:
        with evaluating(expectation):
            needed = expectation.get_validation_dependencies(runtime_configuration=dict(FORMAT))
            wanted += needed.get_metric_configurations()
    metrics = scan.resolve(wanted)
    for expectation in expectations:
        with evaluating(expectation):
            results.append(expectation.metrics_validate(metrics, dict(FORMAT)))
    return results, metrics


@contextmanager
def evaluating(expectation: Expectation) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        subject = " + ".join(columns_of(expectation.configuration)) or "table"
        what = f"{subject}: {expectation.description}: could not be evaluated: {error}"
        raise Unjudged(what, "See gates.yaml, the schema and the last committed reports/reference.json.") from error


def columns_of(config: ExpectationConfiguration) -> list[str]:
    """The columns whose values an expectation is about; none for one about the table."""
    if config.type.startswith("expect_table_"):
        return []
    return [config.kwargs["column"]] if "column" in config.kwargs else config.kwargs["column_list"]


def finding(result: ExpectationValidationResult) -> Finding:
    config, found = result.expectation_config, result.result
    examples, observed = [], found.get("observed_value")
    for value in map(plain, found.get("partial_unexpected_list", [])):
        if value is not None and value not in examples:
            examples.append(value)
    return Finding(
        subject=" + ".join(columns_of(config)) or "table",
        rule=config.description,
        severity=config.severity.value if isinstance(config.severity, FailureSeverity) else config.severity,
        success=bool(result.success),
        expectation=config.type,
        rows=found.get("element_count"),
        missing=found.get("missing_count"),
        unexpected=found.get("unexpected_count"),
        observed=plain(observed.get("values") if isinstance(observed, dict) else observed),
        examples=examples[:3],
    )


def of_shape(found: Finding) -> Finding:
    """The finding about a type, of which the table of types has one row: the type is what was observed."""
    if found.unexpected is None:
        return found
    return replace(found, rows=None, missing=None, unexpected=None, observed=short(found.examples) or None, examples=[])


def untold(expectation: Expectation) -> Finding:
    """The finding of an expectation whose column is absent or of another type, which fails on its own."""
    config = expectation.configuration
    return Finding(" + ".join(columns_of(config)), config.description, str(config.severity), None, config.type)


def plain(value: Any) -> Any:
    """The value as JSON has it; numbers to six significant digits, which the page and the messages can bear."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, date):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return float(f"{value:.6g}") if isinstance(value, float) else value


def short(value: Any) -> str:
    """A value as messages and the page show it."""
    if isinstance(value, list):
        return ", ".join(map(short, value))
    if isinstance(value, dict):
        return " ".join(map(short, value.values()))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def unreadable(dataset: Path) -> Bad | None:
    """What is wrong with the file itself, found by reading all of it and doing nothing with it; None for nothing."""
    if dataset.stat().st_size == 0:
        return Bad(f"{dataset} is an empty file", NO_FILE)
    try:
        duckdb.execute("select max(hash(columns(*))) from read_parquet(?)", [str(dataset)])
    except duckdb.Error as error:
        what = f"{dataset} is not a whole Parquet file: {str(error).splitlines()[0]}"
        return Bad(what, "It was cut short, or is of another format. " + NO_FILE)
    return None
