"""The training and validation rows as XGBoost's matrices, in each of the three modes of `memory`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xgboost
from sklearn.compose import ColumnTransformer

from .memory import Size, room_on_disk
from .rows import Rows, learn

PAGES = Path("build/pages")  # of `external`: in the workspace, for they are of no use to anything else
Parts = dict[str, Rows]
Matrices = tuple[xgboost.DMatrix, xgboost.DMatrix]


class Batches(xgboost.DataIter):
    """Hands the rows to XGBoost batch by batch, as often as it asks; `pages` is where it may put them."""

    def __init__(self, rows: Rows, size: int, features: ColumnTransformer, pages: Path | None = None) -> None:
        super().__init__(cache_prefix=str(pages) if pages else None)
        self.rows, self.size, self.features = rows, size, features
        self.reset()

    def reset(self) -> None:
        self.tables = self.rows.batches(self.size)

    def next(self, input_data: Callable[..., Any]) -> bool:
        table = next(self.tables, None)
        if table is None:
            return False
        taken, truth = self.rows.split(table)
        input_data(data=self.features.transform(taken), label=truth)
        return True


def size(parts: Parts, values: dict[str, list[str]]) -> Size:
    """How large the matrices of these parts become, given the values of each category."""
    features = len(parts["train"].schema.features)
    columns = features - len(values) + sum(map(len, values.values()))
    return Size(sum(part.count for part in parts.values()), features, columns)


def make(
    features: ColumnTransformer,
    parts: Parts,
    mode: str,
    device: str = "cpu",
    *,
    bins: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
) -> Matrices:
    """The training and the validation matrix, which share their quantiles; fits the preprocessing in place.

    `bins` and `threads` are XGBoost's max_bin and nthread, `batch` the rows of a batch. The pages of `external` are
    deleted with the matrices; what a killed training has left of them is deleted here.
    """
    shutil.rmtree(PAGES, ignore_errors=True)
    options = {"max_bin": bins, "nthread": threads}
    if mode == "in_memory":
        rows, truth = parts["train"].all()
        first = xgboost.QuantileDMatrix(features.fit_transform(rows), label=truth, **options)
        rows, truth = parts["validation"].all()
        return first, xgboost.QuantileDMatrix(features.transform(rows), label=truth, ref=first, **options)
    values = parts["train"].values()
    whole = size(parts, values)
    learn(features, parts["train"], values)
    if mode == "external":
        PAGES.mkdir(parents=True)
        room_on_disk(PAGES, whole)
    pages = {name: PAGES / name if mode == "external" else None for name in parts}
    train, validation = (Batches(part, batch or whole.batch, features, pages[name]) for name, part in parts.items())
    if mode == "external" and device == "cuda":
        # For a GPU ExtMemQuantileDMatrix takes only batches that are there already; this one takes them from here.
        return xgboost.DMatrix(train, nthread=threads), xgboost.DMatrix(validation, nthread=threads)
    kind = xgboost.ExtMemQuantileDMatrix if mode == "external" else xgboost.QuantileDMatrix
    first = kind(train, **options)
    return first, kind(validation, ref=first, **options)
