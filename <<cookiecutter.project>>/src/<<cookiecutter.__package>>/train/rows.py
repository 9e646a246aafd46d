"""The rows of a Parquet file, whole or in batches, as features and target; and a preprocessing that batches can teach.

Columns are decoded as they are asked for, so that batches take the memory of one batch and of one row group.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet as parquet
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder

from ..columns import Category, Schema, texts
from ..features import frame, target
from ..outcome import Bad

LABELS = 1_000_000  # rows of one column at a time


@dataclass(frozen=True)
class Rows:
    """One part of the data. `count`: its rows."""

    path: Path
    schema: Schema
    task: str
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", parquet.read_metadata(self.path).num_rows)

    def columns(self) -> list[str]:
        return [*(column.name for column in self.schema.features), self.schema.label]

    def split(self, table: Any) -> tuple[pandas.DataFrame, numpy.ndarray]:
        """Features and target of these rows."""
        return frame(self.schema, table), target(self.schema, self.task, table)

    def all(self) -> tuple[pandas.DataFrame, numpy.ndarray]:
        return self.split(parquet.read_table(self.path, columns=self.columns()))

    def batches(self, rows: int, columns: list[str] | None = None) -> Iterator[pyarrow.Table]:
        """Tables of at most `rows` rows, in their order."""
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(rows, columns=columns or self.columns()):
                yield pyarrow.Table.from_batches([batch])

    def slice(self, start: int, stop: int) -> tuple[pandas.DataFrame, numpy.ndarray]:
        """Features and target of the rows [start, stop); only the row groups that hold them are read."""
        with parquet.ParquetFile(self.path) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = numpy.cumsum(sizes)
            wanted = [group for group, end in enumerate(ends) if end > start and end - sizes[group] < stop]
            table = file.read_row_groups(wanted, columns=self.columns())
            before = int(ends[wanted[0]] - sizes[wanted[0]]) if wanted else 0
        return self.split(table.slice(start - before, stop - start))

    def present(self) -> None:
        """Raise Bad unless every class occurs: no estimator can give one a probability that it has never seen."""
        labels = (table[self.schema.label] for table in self.batches(LABELS, [self.schema.label]))
        seen = {index for column in labels for index in numpy.unique(self.truth(column))}
        absent = [] if self.task == "regression" else set(range(len(self.schema.classes()))) - seen
        if absent:
            what = f"the training window has no row of the class {self.schema.classes()[min(absent)]!r}"
            raise Bad(what, "Widen `split.train` in params.yaml, or take the class out of the schema.")

    def truth(self, labels: Any) -> numpy.ndarray:
        return target(self.schema, self.task, {self.schema.label: labels})

    def values(self) -> dict[str, list[str]]:
        """Category -> the texts that occur, sorted."""
        names = [column.name for column in self.schema.features if isinstance(column, Category)]
        found: dict[str, set[str]] = {name: set() for name in names}
        for table in self.batches(LABELS, names) if names else ():
            for name in names:
                found[name].update(texts(table[name].unique()))
        return {name: sorted(seen) for name, seen in found.items()}


def learn(features: ColumnTransformer, rows: Rows, values: dict[str, list[str]]) -> None:
    """Fit the preprocessing on as many rows as the richest category has values: each value once, numbers absent.

    That teaches a one-hot encoding all that it would learn from all rows. Raises Bad for any other step.
    """
    for name, step, _ in features.transformers:
        if step != "passthrough" and not _simple(step):
            what = f"the preprocessing step {name!r} must see all rows at once"
            raise Bad(what, "Set train.memory to in_memory in params.yaml, or teach rows.learn how batches teach it.")
    longest = max(map(len, values.values()), default=1)
    made = {
        column.name: (values[column.name] * longest)[:longest]
        if column.name in values
        else numpy.full(longest, numpy.nan, dtype=numpy.float32)
        for column in rows.schema.features
    }
    features.fit(frame(rows.schema, made))


def _simple(step: Any) -> bool:
    return isinstance(step, OneHotEncoder) and step.min_frequency is None and step.max_categories is None
