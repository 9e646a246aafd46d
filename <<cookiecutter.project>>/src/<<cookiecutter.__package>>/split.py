"""`data/dataset.parquet` to train, validation and test by time, and the profile of the training window.

The profile, `reports/reference.json`, is what later data is compared with:
    {"rows": n, "first": instant, "last": instant, "label": profile, "features": {name: profile}}
    profile of a number:   {"missing": share, "mean": …, "quantiles": [11 values, from minimum to maximum]}
    profile of a boolean:  {"missing": share, "mean": share of true}
    profile of a category: {"missing": share, "shares": {value: share of all rows}}
"""

import json
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import yaml

from .columns import Boolean, Category, Column, floats
from .outcome import Bad, run
from .schema import SCHEMA

DATA = Path("data")
REFERENCE = Path("reports/reference.json")
WINDOWS = ("train", "validation", "test")
QUANTILES = numpy.linspace(0, 1, 11)
REMEDY = "Correct `split` in params.yaml: three windows [start, end), one after the other."

Window = tuple[datetime, datetime]


def instant(value: Any) -> datetime:
    """An ISO date or instant of params.yaml, UTC where it names no zone; raises ValueError for anything else."""
    parsed = datetime.fromisoformat(str(value))
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def windows(settings: dict[str, Any]) -> dict[str, Window]:
    """The half-open windows of `params.yaml`; raises Bad where one is no window, or they are not in order."""
    found: dict[str, Window] = {}
    for name in WINDOWS:
        try:
            start, end = (instant(value) for value in settings[name])
        except (KeyError, TypeError, ValueError) as error:
            raise Bad(f"split.{name} is not a pair of dates: {settings.get(name)!r}", REMEDY) from error
        if start >= end:
            raise Bad(f"split.{name} ends before it starts: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}", REMEDY)
        found[name] = (start, end)
    for earlier, later in pairwise(WINDOWS):
        if found[earlier][1] > found[later][0]:
            what = f"split.{later} starts at {found[later][0]:%Y-%m-%d %H:%M}, before split.{earlier} ends"
            raise Bad(what, REMEDY)
    return found


def cut(table: pyarrow.Table, window: Window) -> pyarrow.Table:
    """The rows whose time lies in [start, end), in their order."""
    times = table[SCHEMA.time]
    start, end = (pyarrow.scalar(edge, type=times.type) for edge in window)
    return table.filter(compute.and_(compute.greater_equal(times, start), compute.less(times, end)))


def profile(column: Column, values: pyarrow.ChunkedArray) -> dict[str, Any]:
    """What the module's docstring says, of at least one value, to six significant digits."""
    rows = len(values)
    if isinstance(column, Category):
        counts = {entry["values"]: entry["counts"] for entry in compute.value_counts(values.cast("string")).to_pylist()}
        missing = counts.pop(None, 0)
        shares = {name: _digits(counts[name] / rows) for name in sorted(counts)}
        return {"missing": _digits(missing / rows), "shares": shares}
    numbers = floats(values, numpy.float64)
    present = numbers[~numpy.isnan(numbers)]
    about: dict[str, Any] = {"missing": _digits(1 - len(present) / rows)}
    about["mean"] = _digits(present.mean()) if len(present) else None
    if not isinstance(column, Boolean):
        about["quantiles"] = [_digits(value) for value in numpy.quantile(present, QUANTILES)] if len(present) else []
    return about


def reference(table: pyarrow.Table) -> dict[str, Any]:
    """The profile of the training window."""
    edges = compute.min_max(table[SCHEMA.time]).as_py()
    return {
        "rows": table.num_rows,
        "first": edges["min"].isoformat(),
        "last": edges["max"].isoformat(),
        "label": profile(SCHEMA[SCHEMA.label], table[SCHEMA.label]),
        "features": {column.name: profile(column, table[column.name]) for column in SCHEMA.features},
    }


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def main(arguments: list[str]) -> None:
    wanted = windows(yaml.safe_load(Path("params.yaml").read_text())["split"])
    table = parquet.read_table(DATA / "dataset.parquet")
    parts = {name: cut(table, window) for name, window in wanted.items()}
    for name, part in parts.items():
        if not part.num_rows:
            edges = compute.min_max(table[SCHEMA.time]).as_py()
            what = f"split.{name} holds no rows: the data reaches from {edges['min']} to {edges['max']}"
            raise Bad(what, REMEDY)
    for name, part in parts.items():
        parquet.write_table(part, DATA / f"{name}.parquet", compression="zstd")
    REFERENCE.write_text(json.dumps(reference(parts["train"]), indent=1, sort_keys=True) + "\n")
    counts = ", ".join(f"{name} {part.num_rows:,}" for name, part in parts.items())
    outside = table.num_rows - sum(part.num_rows for part in parts.values())
    print(f"split: {counts}" + (f"; {outside:,} rows in no window" if outside else ""))


if __name__ == "__main__":
    sys.exit(run("split", main, sys.argv[1:]))
