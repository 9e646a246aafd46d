"""The words in which `schema.py` declares a table, and what follows from a declaration.

Standard library only at import: the service and the load test read the schema without the training packages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    `missing`: the largest share of null values that is accepted, 0 for none at all. Where it is above 0 a request
    may leave the field out. `feature`: whether the model sees it.
    """

    name: str
    about: str = ""
    missing: float = 0.0
    feature: bool = True
    example: Any = None

    @property
    def optional(self) -> bool:
        return self.missing > 0


@dataclass(frozen=True, kw_only=True)
class Number(Column):
    """A number between `minimum` and `maximum`, both included, in `unit`; whole where `integer`."""

    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False


@dataclass(frozen=True, kw_only=True)
class Category(Column):
    """One of `values`; where `open`, a value outside them is a warning in the data and accepted in a request."""

    values: tuple[str, ...] = ()
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Boolean(Column):
    """True or false, kept as 1 and 0 wherever it becomes a number."""


@dataclass(frozen=True, kw_only=True)
class Time(Column):
    """An instant in UTC. It orders and splits the rows and is never a feature itself."""

    feature: bool = False


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A table: its columns in order, the ones that together name a row, its instant and its label."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str
    label: str

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        repeated = {name for name in names if names.count(name) > 1}
        absent = {*self.key, self.time, self.label} - set(names)
        if repeated:
            raise ValueError(f"schema: declared twice: {', '.join(sorted(repeated))}")
        if absent:
            raise ValueError(f"schema: key, time or label names no declared column: {', '.join(sorted(absent))}")
        if not isinstance(self[self.time], Time):
            raise ValueError(f"schema: the time column {self.time!r} is not declared as Time")
        if self[self.label].feature:
            raise ValueError(f"schema: the label {self.label!r} is also a feature; declare it with feature=False")

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that the model sees, in the order of the declaration: the inputs of the ONNX graph."""
        return tuple(column for column in self.columns if column.feature)

    def classes(self) -> tuple[str, ...]:
        """The label's classes in the order of the graph's probabilities; empty for a number."""
        label = self[self.label]
        if isinstance(label, Boolean):
            return ("false", "true")
        return label.values if isinstance(label, Category) else ()

    def example(self) -> dict[str, Any]:
        """One valid request row."""
        return {column.name: column.example for column in self.features}

    def truth(self, labels: Any) -> "numpy.ndarray":
        """The label as models and metrics count it: shape (n,), the index into `classes()`, or float64 for a number.

        Accepts what `floats` accepts; raises ValueError for a missing label and for one that is not a class.
        """
        import numpy

        label, classes = self[self.label], self.classes()
        if isinstance(label, Category):
            found = texts(labels)
            index = {name: position for position, name in enumerate(classes)}
            wrong = sorted({text for text in found.tolist() if text not in index})
            if wrong:
                raise ValueError(f"{self.label}: {wrong[0]!r} is not one of the declared classes")
            return numpy.fromiter((index[text] for text in found), dtype=numpy.int64, count=len(found))
        values = floats(labels, numpy.float64)
        if numpy.isnan(values).any():
            raise ValueError(f"{self.label}: {int(numpy.isnan(values).sum())} missing values")
        return values.astype(numpy.int64) if isinstance(label, Boolean) else values

    def feeds(self, rows: Mapping[str, Any]) -> "dict[str, numpy.ndarray]":
        """The ONNX graph's inputs for columns of n values each: name -> array of shape (n, 1).

        Categories are strings with "" for a missing value, everything else float32 with NaN for a missing value.
        Accepts lists, NumPy arrays, pandas and pyarrow columns; raises KeyError for an absent feature.
        """
        return {
            column.name: (texts if isinstance(column, Category) else floats)(rows[column.name]).reshape(-1, 1)
            for column in self.features
        }


def texts(values: Any) -> "numpy.ndarray":
    """A column as strings, shape (n,), dtype object: "" for whatever is missing."""
    import numpy

    if _is_arrow(values):
        return numpy.asarray(values.cast("string").fill_null("").to_numpy(zero_copy_only=False), dtype=object)
    array = numpy.empty(len(values), dtype=object)
    array[:] = [value if isinstance(value, str) else "" for value in values]
    return array


def floats(values: Any, kind: Any = "float32") -> "numpy.ndarray":
    """A column as numbers, shape (n,), dtype `kind`: NaN for whatever is missing, 1 and 0 for true and false."""
    import numpy

    if _is_arrow(values):
        return numpy.asarray(values.cast("float64").to_numpy(zero_copy_only=False), dtype=kind)
    if hasattr(values, "isna"):  # pandas, whose own missing value NumPy cannot convert
        return values.to_numpy(dtype=kind, na_value=numpy.nan)
    return numpy.asarray(values, dtype=kind)


def _is_arrow(values: Any) -> bool:
    return type(values).__module__.startswith("pyarrow")
