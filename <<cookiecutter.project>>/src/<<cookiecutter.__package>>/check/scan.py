"""The metrics that Great Expectations' expectations ask for, computed by DuckDB over a Parquet file of any size.

An expectation names its metrics (`get_validation_dependencies`), and makes its result from them
(`metrics_validate`); between the two Great Expectations has an execution engine compute them from a batch. This module
stands in for that engine, with the semantics of its pandas engine: NaN is missing, the unexpected values are the first
in row order, a quantile is the nearest rank. Source: great_expectations 1.24, `validator/validator.py` (graph_validate)
and `expectations/metrics/`.
"""

# ruff: noqa: S608 - the statements are put together from declared names and quoted values

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import pandas
from great_expectations.validator.metric_configuration import MetricConfiguration

SHOWN = 20  # unexpected values kept of each expectation
GROUPS = 12_000_000  # keys that are compared at once
SAMPLE = 2_000_000  # quantiles of longer tables are those of every k-th row

AGGREGATES = {
    "table.row_count": "count(*)",
    "column.max": "max({column})",
    "column.min": "min({column})",
    "column.mean": "avg({column}::double)",
    "column.standard_deviation": "stddev_samp({column})",
    "column_values.nonnull.count": "count({column})",
    "column.distinct_values.count": "count(distinct {column})",
}


def types(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """The columns of a Parquet file and their DuckDB types; raises duckdb.Error where it is not such a file."""
    described = connection.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
    return {name: kind for name, kind, *_ in described}


def view(connection: duckdb.DuckDBPyConnection, path: Path, found: dict[str, str]) -> str:
    """Make and name a view of the file in which NaN is missing and instants are naive UTC, as pandas would have it."""

    def seen(name: str, kind: str) -> str:
        column = quote(name)
        if kind in ("DOUBLE", "FLOAT"):
            return f"nullif({column}, 'nan'::{kind}) as {column}"
        return f"make_timestamp(epoch_us({column})) as {column}" if kind == "TIMESTAMP WITH TIME ZONE" else column

    columns = ", ".join(seen(name, kind) for name, kind in found.items())
    file = literal(str(path))
    connection.execute(
        f"create view dataset as select {columns}, file_row_number from read_parquet({file}, file_row_number=true)"
    )
    return "dataset"


def row_of_types(connection: duckdb.DuckDBPyConnection, found: dict[str, str]) -> str:
    """Make and name a table with one row: the type of each column, under the column's name."""
    columns = ", ".join(f"{literal(kind)} as {quote(name)}" for name, kind in found.items())
    connection.execute(f"create table types as select {columns}, 0 as file_row_number")
    return "types"


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


class Scan:
    """Answers metric configurations over one table: the aggregates in one pass, the rest only where it is needed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str, columns: Iterable[str]) -> None:
        self.connection = connection
        self.table = table
        self.columns = list(columns)
        self.breaking: dict[str, int] = {}  # how many rows a condition holds of
        self.duplicates: dict[tuple[str, ...], tuple[int, list[dict[str, Any]]]] = {}

    def resolve(self, wanted: Iterable[MetricConfiguration]) -> dict[Any, Any]:
        """The value of every metric, by the id of its configuration; raises KeyError for one that is not known."""
        wanted = {metric.id: metric for metric in wanted}  # many expectations share a metric
        expressions = {key: sql for key, metric in wanted.items() if (sql := self.aggregate(metric))}
        found = self.one(f"select {', '.join(expressions.values())} from {self.table}") if expressions else []
        metrics = dict(zip(expressions, found, strict=True))
        counted = [key for key in metrics if key.metric_name.endswith(".unexpected_count")]
        self.breaking |= {unexpected(wanted[key]): metrics[key] for key in counted}
        for key in sorted(wanted.keys() - metrics.keys(), key=lambda key: key.metric_name):  # counts before values
            metrics[key] = self.special(wanted[key])
        return metrics

    def one(self, query: str) -> tuple[Any, ...]:
        return self.connection.execute(query).fetchone()

    def aggregate(self, metric: MetricConfiguration) -> str | None:
        """The metric as an aggregate of the one pass, or None where it is not such."""
        name, domain = metric.metric_name, metric.metric_domain_kwargs
        if name in AGGREGATES:
            return AGGREGATES[name].format(column=quote(domain["column"]) if "column" in domain else "")
        if name == "compound_columns.unique.filtered_row_count":
            return f"count(*) filter (where not ({all_missing(domain['column_list'])}))"
        if name in ("column_values.nonnull.unexpected_count", "column_values.between.unexpected_count"):
            return f"coalesce(count_if({unexpected(metric)}), 0)"
        return None

    def special(self, metric: MetricConfiguration) -> Any:
        name, domain, value = metric.metric_name, metric.metric_domain_kwargs, metric.metric_value_kwargs
        if name == "table.columns":
            return self.columns
        if name.startswith(("compound_columns.unique.", "column_values.unique.")):
            count, rows = self.repeated(tuple(domain.get("column_list") or [domain["column"]]))
            single = [row[domain["column"]] for row in rows] if "column" in domain else rows
            return count if name.endswith("count") else single
        if name == "column_values.in_set.unexpected_count":
            return self.outside(quote(domain["column"]), unexpected(metric))
        if name.endswith(".unexpected_values"):
            return self.first(quote(domain["column"]), unexpected(metric))
        answer: Callable[..., Any] = {
            "column.value_counts": self.counts,
            "column.quantile_values": self.quantiles,
            "column.distinct_values.missing_from_column": self.absent,
        }[name.removesuffix(".count")]
        found = answer(quote(domain["column"]), **value)
        return len(found) if name.endswith(".count") else found

    def outside(self, column: str, condition: str) -> int:
        """How many rows hold a value outside a set: asked of the distinct values, which are few, not of every row."""
        groups = f"select {column}, count(*) as number from {self.table} group by all"
        found = self.one(f"select coalesce(sum(number), 0) from ({groups}) where {condition}")
        self.breaking[condition] = int(found[0])
        return self.breaking[condition]

    def first(self, column: str, condition: str) -> list[Any]:
        if not self.breaking[condition]:
            return []
        query = f"select {column} from {self.table} where {condition} order by file_row_number limit {SHOWN}"
        return [row[0] for row in self.connection.execute(query).fetchall()]

    def counts(self, column: str, sort: str = "value") -> pandas.Series:
        """Rows of each value present, in the order of the values."""
        query = f"select {column}, count(*) from {self.table} where {column} is not null group by all order by 1"
        found = self.connection.execute(query).fetchall()
        index = pandas.Index([value for value, _ in found], name="value")
        return pandas.Series([number for _, number in found], index=index, name="count", dtype="int64")

    def absent(self, column: str, value_set: list[Any], limit: int | None = None) -> list[Any]:
        found = set(self.counts(column).index)
        return [value for value in value_set if value not in found][:limit]

    def quantiles(self, column: str, quantiles: list[float], allow_relative_error: bool = False) -> list[float | None]:
        """The values of nearest rank."""
        step = -(-self.one(f"select count(*) from {self.table}")[0] // SAMPLE) or 1
        source = f"from {self.table}" + (f" where file_row_number % {step} = 0" if step > 1 else "")
        n = self.one(f"select count({column}) {source}")[0]
        if not n:
            return [None] * len(quantiles)
        # DuckDB takes the value of rank ceil(n * q), counted from 1: aim at the middle of the rank that is meant.
        ranks = [(round((n - 1) * point) + 0.5) / n for point in quantiles]
        return self.one(f"select quantile_disc({column}, {ranks}) {source}")[0]

    def repeated(self, names: tuple[str, ...]) -> tuple[int, list[dict[str, Any]]]:
        """How many rows share their key with another, and the first of their keys; rows without any key do not count.

        Hashes find the suspects, so that the keys themselves are grouped only where two may be equal; a part of the
        hashes at a time, so that they fit into memory.
        """
        if names not in self.duplicates:
            keys = ", ".join(map(quote, names))
            some = f"hash({keys}) in (from suspects) and not ({all_missing(names)})"
            same = " and ".join(f"{self.table}.{name} is not distinct from twice.{name}" for name in map(quote, names))
            execute = self.connection.execute
            parts = self.one(f"select count(*) from {self.table}")[0] // GROUPS + 1
            execute("create or replace temp table suspects (hashed ubigint)")
            for part in range(parts):
                execute(
                    f"insert into suspects select hash({keys}) as hashed from {self.table} "
                    f"where hashed % {parts} = {part} group by hashed having count(*) > 1"
                )
            execute(
                f"create or replace temp table twice as select {keys}, count(*) as number from {self.table} "
                f"where {some} group by {keys} having count(*) > 1"
            )
            count = int(self.one("select coalesce(sum(number), 0) from twice")[0])
            query = f"select {keys} from {self.table} semi join twice on {same} order by file_row_number limit {SHOWN}"
            rows = execute(query).fetchall() if count else []
            self.duplicates[names] = count, [dict(zip(names, row, strict=True)) for row in rows]
        return self.duplicates[names]


def all_missing(names: Iterable[str]) -> str:
    return " and ".join(f"{quote(name)} is null" for name in names)


def unexpected(metric: MetricConfiguration) -> str:
    """The condition of the rows that a map metric counts as unexpected; raises KeyError for a metric not known here."""
    column, value = quote(metric.metric_domain_kwargs.get("column") or ""), metric.metric_value_kwargs
    if metric.metric_name.startswith("column_values.nonnull."):
        return f"{column} is null"
    if metric.metric_name.startswith("column_values.in_set."):
        return f"{column} not in ({', '.join(map(literal, value['value_set']))})"
    if metric.metric_name.startswith("column_values.between."):
        below, above = "<=" if value["strict_min"] else "<", ">=" if value["strict_max"] else ">"
        bounds = ((below, value["min_value"]), (above, value["max_value"]))
        return " or ".join(f"{column} {sign} {literal(bound)}" for sign, bound in bounds if bound is not None)
    raise KeyError(metric.metric_name)
