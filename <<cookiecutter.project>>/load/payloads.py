"""Request rows from the schema and from the test window, and what an answer to them must look like."""

import math
from collections.abc import Iterator
from itertools import count, cycle
from typing import Any

from << cookiecutter.__package >>.columns import Boolean, Category, Number, Schema

MANY = 20  # rows of the larger requests
MANY_EVERY = 50  # every so many requests is a larger one: p95 is about one row, p99 sees the larger ones
EDGE_EVERY = 10  # every so many requests is an edge of the schema, unless it is a larger one

Row = dict[str, Any]
Recorded = tuple[list[Row], list[Any]]  # rows of the test window and the prediction that was recorded for each


def edges(schema: Schema) -> list[Row]:
    """Valid rows at the ends of the declaration: all minima, all maxima, nothing optional, and unseen categories."""
    rows = [schema.example() for _ in range(5)]
    for column in schema.features:
        if isinstance(column, Number):
            whole = int if column.integer else float
            for row, end in zip(rows, (column.minimum, column.maximum), strict=False):
                row[column.name] = whole(end) if end is not None else row[column.name]
        elif isinstance(column, Boolean):
            rows[0][column.name], rows[1][column.name] = False, True
        elif isinstance(column, Category):
            if column.values:
                rows[0][column.name], rows[1][column.name] = column.values[0], column.values[-1]
            if column.open:
                rows[2][column.name] = "unseen"
        if column.optional:
            rows[3][column.name] = None
            del rows[4][column.name]
    return rows


def requests(schema: Schema, recorded: Recorded, start: int) -> Iterator[tuple[list[Row], list[Any] | None]]:
    """Endless requests: rows, and the predictions recorded for them (None where there are none).

    Mostly one real row, sometimes an edge of the schema, sometimes many real rows; `start` sets callers apart, in
    their rows and in when they send many. Without recorded rows, the edges alone.
    """
    edge = cycle(edges(schema))
    rows, predictions = recorded
    if not rows:
        yield from (([row], None) for row in edge)
    at = start
    for number in count(start):
        size = MANY if number % MANY_EVERY == 0 else 1
        if size == 1 and number % EDGE_EVERY == 0:
            yield [next(edge)], None
            continue
        places = [(at + step) % len(rows) for step in range(size)]
        at += size
        yield [rows[place] for place in places], [predictions[place] for place in places]


def fault(answer: Any, rows: int, classes: tuple[str, ...]) -> str | None:
    """What is wrong with the content of a 200 answer to so many rows; None where it is as it should be."""
    if not isinstance(answer, dict) or not isinstance(answer.get("predictions"), list):
        return "no predictions in the answer"
    if len(answer["predictions"]) != rows:
        return "another number of predictions than rows"
    return next(filter(None, (misshapen(prediction, classes) for prediction in answer["predictions"])), None)


def misshapen(prediction: Any, classes: tuple[str, ...]) -> str | None:
    if not isinstance(prediction, dict):
        return "a prediction is no object"
    if "probabilities" in prediction:
        shares = prediction["probabilities"]
        if not isinstance(shares, dict) or tuple(sorted(shares)) != tuple(sorted(classes)):
            return "the probabilities are not those of the classes"
        return None if all(map(share, shares.values())) else "a probability outside 0 and 1"
    if "probability" in prediction:
        return None if share(prediction["probability"]) else "a probability outside 0 and 1"
    value = prediction.get("value")
    return None if isinstance(value, int | float) and math.isfinite(value) else "a prediction without a number"


def share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def difference(one: Any, other: Any) -> float:
    """The largest difference of two predictions of the same shape: relative above 1, infinite where they differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max(difference(one[name], other[name]) for name in one)
    if isinstance(one, int | float) and isinstance(other, int | float) and math.isfinite(one) and math.isfinite(other):
        return abs(one - other) / max(1.0, abs(other))
    return 0.0 if one == other else math.inf
