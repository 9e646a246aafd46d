"""What is expected of the data set: Great Expectations' expectations, made from the schema and `gates.yaml`.

Every expectation says in its `description` what it expects, and in its `severity` whether failing it is bad
("critical") or only worth a note ("warning").
"""

from datetime import datetime, timedelta
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from ..columns import Boolean, Category, Column, Number, Schema

QUANTILES = (0.3, 0.5, 0.7)
CRITICAL = {"severity": "critical"}
DIGITS = 1e-5  # a profile keeps six digits: a value that rounding has moved past its own quantile is not a shift
UNSEEN = 0.001  # the share that training is taken to have had of a category that it never saw


def kind(column: Column) -> str:
    """The DuckDB type in which the data set holds a declared column."""
    if isinstance(column, Number):
        return "BIGINT" if column.integer else "DOUBLE"
    if isinstance(column, Boolean):
        return "BOOLEAN"
    return "VARCHAR" if isinstance(column, Category) else "TIMESTAMP WITH TIME ZONE"


def shape(schema: Schema, found: list[str]) -> list[Expectation]:
    """Existence, order and types; of a table with one row that holds the type of each column found."""
    names = [column.name for column in schema]
    present = [column for column in schema if column.name in found]
    return [
        *(gxe.ExpectColumnToExist(column=name, description="the column must exist", **CRITICAL) for name in names),
        gxe.ExpectTableColumnsToMatchOrderedList(
            column_list=names, description="the columns must be the schema's, in its order", severity="warning"
        ),
        *(
            gxe.ExpectColumnValuesToBeInSet(
                column=column.name,
                value_set=[kind(column)],
                description=f"must be of type {kind(column)}",
                **CRITICAL,
            )
            for column in present
        ),
    ]


def values(schema: Schema) -> list[Expectation]:
    """Missing values, ranges, categories and the key."""
    expectations = [expectation for column in schema for expectation in of_column(column)]
    key = {"description": "must name one row", **CRITICAL}
    if len(schema.key) == 1:
        return [*expectations, gxe.ExpectColumnValuesToBeUnique(column=schema.key[0], **key)]
    return [*expectations, gxe.ExpectCompoundColumnsToBeUnique(column_list=list(schema.key), **key)]


def of_column(column: Column) -> list[Expectation]:
    some = f"must not be missing in more than {column.missing:.0%}" if column.missing else "must not be missing"
    mostly = round(1 - column.missing, 6)
    made = [gxe.ExpectColumnValuesToNotBeNull(column=column.name, mostly=mostly, description=some, **CRITICAL)]
    if isinstance(column, Number) and not column.minimum is column.maximum is None:
        low, high = column.minimum, column.maximum
        one_sided = f"at least {low}" if high is None else f"at most {high}"
        within = one_sided if None in (low, high) else f"between {low} and {high}"
        made.append(
            gxe.ExpectColumnValuesToBeBetween(
                column=column.name,
                min_value=low,
                max_value=high,
                description=f"must be {within} {column.unit}".rstrip(),
                **CRITICAL,
            )
        )
    if isinstance(column, Category) and column.values:
        few = ", ".join(column.values) if len(column.values) <= 12 else f"the {len(column.values)} declared values"
        made.append(
            gxe.ExpectColumnValuesToBeInSet(
                column=column.name,
                value_set=list(column.values),
                description=f"must be one of {few}",
                severity="warning" if column.open else "critical",
            )
        )
    return made


def project(schema: Schema, gates: dict[str, Any], now: datetime, last_rows: int | None) -> list[Expectation]:
    """Row count, freshness and the share of the label, by the section `check` of gates.yaml; `now` in UTC, naive."""
    rows = [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=gates["minimum_rows"], description=f"at least {gates['minimum_rows']:,} rows", **CRITICAL
        )
    ]
    if last_rows:
        low, high = (round(factor * last_rows) for factor in gates["rows_against_last"])
        told = f"{low:,} to {high:,} rows, after {last_rows:,} last time"
        rows.append(gxe.ExpectTableRowCountToBeBetween(min_value=low, max_value=high, description=told, **CRITICAL))
    oldest = now - timedelta(days=gates["maximum_age_days"])
    fresh = gxe.ExpectColumnMaxToBeBetween(
        column=schema.time,
        min_value=oldest.isoformat(),
        max_value=now.isoformat(),
        description=f"the newest must be from {oldest:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M}",
        **CRITICAL,
    )
    return [*rows, fresh, share(schema[schema.label], gates["minimum_class_share"])]


def share(label: Column, least: float) -> Expectation:
    """That the label has something to teach: no class of it is (almost) absent, a number is not constant."""
    if isinstance(label, Boolean):
        told = f"the share of true must be between {least:g} and {1 - least:g}"
        return gxe.ExpectColumnMeanToBeBetween(
            column=label.name, min_value=least, max_value=round(1 - least, 6), description=told, **CRITICAL
        )
    if isinstance(label, Category):
        told = "every declared class must occur"
        return gxe.ExpectColumnDistinctValuesToContainSet(
            column=label.name, value_set=list(label.values), description=told, **CRITICAL
        )
    return gxe.ExpectColumnStdevToBeBetween(
        column=label.name, min_value=0, strict_min=True, description="must not be constant", **CRITICAL
    )


def shift(schema: Schema, gates: dict[str, Any], reference: dict[str, Any]) -> list[Expectation]:
    """Distributions against those of the training window, `reports/reference.json` as it was last committed."""
    profiles = {schema.label: reference["label"], **reference["features"]}
    known = [column for column in schema if column.name in profiles and column.name not in gates["except"]]
    compared = (against(column, profiles[column.name], gates, column.name == schema.label) for column in known)
    return [expectation for expectation in compared if expectation]


def against(column: Column, profile: dict[str, Any], gates: dict[str, Any], label: bool) -> Expectation | None:
    """One column against its profile; None where training had no value of it to compare with."""
    if isinstance(column, Boolean):
        room = gates["label_share"] if label else gates["quantile"]
        low, high = (round(profile["mean"] + step, 6) for step in (-room, room))
        told = f"the share of true must be within {room:g} of training's {profile['mean']:g}"
        return gxe.ExpectColumnMeanToBeBetween(
            column=column.name, min_value=low, max_value=high, description=told, **CRITICAL
        )
    if isinstance(column, Category):
        total = sum(profile["shares"].values())
        if not total:
            return None
        return gxe.ExpectColumnKLDivergenceToBeLessThan(
            column=column.name,
            partition_object={
                "values": list(profile["shares"]),
                "weights": [value / total for value in profile["shares"].values()],
            },
            tail_weight_holdout=UNSEEN,
            threshold=gates["divergence"],
            description=f"the divergence of its shares from training's must be at most {gates['divergence']:g}",
            **CRITICAL,
        )
    if not profile["quantiles"]:
        return None
    room = gates["quantile"]
    ranges = [[at(profile["quantiles"], point + step) for step in (-room, room)] for point in QUANTILES]
    ranges = [[low - abs(low) * DIGITS, high + abs(high) * DIGITS] for low, high in ranges]
    points = ", ".join(map(str, QUANTILES))
    told = f"its quantiles {points} must be within {room:g} of training's, on the scale of ranks"
    return gxe.ExpectColumnQuantileValuesToBeBetween(
        column=column.name,
        quantile_ranges={"quantiles": list(QUANTILES), "value_ranges": ranges},
        description=told,
        **CRITICAL,
    )


def at(quantiles: list[float], point: float) -> float:
    """The value at rank `point` (cut to 0 … 1) between equidistant quantiles, by linear interpolation."""
    place = min(max(point, 0.0), 1.0) * (len(quantiles) - 1)
    below = min(int(place + 1e-9), len(quantiles) - 2)
    return quantiles[below] + (place - below) * (quantiles[below + 1] - quantiles[below])
