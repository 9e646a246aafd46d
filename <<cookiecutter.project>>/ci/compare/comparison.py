"""Scores candidate and champion on the same rows and collects every number that the verdict and the report show."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from ci.compare.champion import Champion
from ci.compare.history import MODEL, TEST
from << cookiecutter.__package >>.graph import Graph
from << cookiecutter.__package >>.metrics import METRICS, bootstrap, calibration, interval, measure
from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

SLICE_RESAMPLES = 500  # at most: there are many slices, and one fails only by a wide margin
PERIODS = 24  # points of the chart over time
UNCHANGED = {"difference": 0.0, "low": 0.0, "high": 0.0}


@dataclass(frozen=True)
class Scored:
    """The test rows: label (n,), and the scores of both models as `Graph.score` gives them."""

    task: str
    truth: np.ndarray
    candidate: np.ndarray
    champion: np.ndarray | None
    classes: tuple[str, ...]


def score(task: str, champion: Champion) -> tuple[Scored, Any, str]:
    """Both models on the test rows; returns the scores, the rows, and why the champion could not be scored, if so."""
    rows = parquet.read_table(TEST)
    graph = Graph(MODEL)
    if graph.task != task or graph.label != SCHEMA.label or graph.classes != SCHEMA.classes():
        what = f"{MODEL} was made for {graph.task} of {graph.label!r}, not for {task} of {SCHEMA.label!r}"
        raise Unjudged(what, "Run `make train`.")
    truth = SCHEMA.truth(rows[SCHEMA.label])
    own = graph.score(rows)
    theirs, why = None, ""
    if champion.path == Path(MODEL):
        theirs = own
    elif champion.path:
        try:
            theirs = _score(Graph(champion.path), graph, rows)
        except Unjudged as outcome:
            why = outcome.what
        except Exception as error:  # onnxruntime's and pyarrow's errors share no base class
            why = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return Scored(task, truth, own, theirs, SCHEMA.classes()), rows, why


def _score(champion: Graph, candidate: Graph, rows: Any) -> np.ndarray:
    told = (champion.task, champion.label, champion.classes)
    if told != (candidate.task, candidate.label, candidate.classes):
        raise Unjudged(f"it answers another question: {champion.task} of {champion.label!r}, {list(champion.classes)}")
    return champion.score(rows)


def compare(scored: Scored, rows: Any, rules: dict[str, Any], slices: dict[str, Any]) -> dict[str, Any]:
    """The numbers of comparison.json that come from scores; `rules`: of the task, `slices`: params.yaml's evaluate."""
    models = {"candidate": scored.candidate, "champion": scored.champion}
    models = {name: scores for name, scores in models.items() if scores is not None}
    binary = scored.task == "binary"
    return {
        "task": scored.task,
        "primary": rules["primary"],
        "confidence": rules["confidence"],
        "resamples": rules["resamples"],
        "rows": len(scored.truth),
        "classes": _classes(scored),
        "metrics": {name: measure(scored.task, scored.truth, scores) for name, scores in models.items()},
        "differences": _differences(scored, rules),
        "slices": {name: _slice(scored, rows[name], rules, slices) for name in slices["slices"]},
        "periods": _periods(scored, rows[SCHEMA.time], rules["primary"]),
        "calibration": {name: calibration(scored.truth, scores) for name, scores in models.items()} if binary else {},
    }


def _classes(scored: Scored) -> dict[str, int]:
    """Class -> rows; empty for regression."""
    if not scored.classes:
        return {}
    counts = np.bincount(scored.truth, minlength=len(scored.classes))
    return dict(zip(scored.classes, map(int, counts), strict=True))


def _differences(scored: Scored, rules: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Metric -> candidate minus champion, with its interval; empty without a champion."""
    if scored.champion is None:
        return {}
    if scored.champion is scored.candidate:
        return dict.fromkeys(METRICS[scored.task], UNCHANGED)
    return _paired(scored, slice(None), rules, rules["resamples"])


def _paired(scored: Scored, chosen: Any, rules: dict[str, Any], resamples: int) -> dict[str, dict[str, float]]:
    truth, own, theirs = (values[chosen] for values in (scored.truth, scored.candidate, scored.champion))
    one, other = measure(scored.task, truth, own), measure(scored.task, truth, theirs)
    drawn = bootstrap(scored.task, truth, own, theirs, resamples, rules["seed"])
    found = {}
    for name, differences in drawn.items():
        low, high = interval(differences, rules["confidence"])
        found[name] = {"difference": one[name] - other[name], "low": low, "high": high}
    return found


def _groups(column: Any) -> list[tuple[str, np.ndarray]]:
    """The distinct values of a column as text, in order, with the indices of their rows; missing ones first."""
    values = column.combine_chunks().cast("string").dictionary_encode()
    codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    names = [*values.dictionary.to_pylist(), "(missing)"]  # which the code -1 then finds
    parts = zip(present, np.split(order, starts[1:]), strict=True)
    return sorted((names[code], chosen) for code, chosen in parts) if len(codes) else []


def _slice(scored: Scored, column: Any, rules: dict[str, Any], settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Value -> rows and the primary metric of both models, for the values with enough rows."""
    found = {}
    for value, chosen in _groups(column):
        if len(chosen) < settings["minimum_slice_rows"]:
            continue
        found[value] = {"rows": len(chosen), **_primary(scored, chosen, rules["primary"])}
        if scored.champion is scored.candidate:
            found[value] |= UNCHANGED
        elif scored.champion is not None:
            resamples = min(SLICE_RESAMPLES, rules["resamples"])
            found[value] |= _paired(scored, chosen, rules, resamples)[rules["primary"]]
    return found


def _primary(scored: Scored, chosen: np.ndarray, primary: str) -> dict[str, float]:
    models = (("candidate", scored.candidate), ("champion", scored.champion))
    return {
        name: measure(scored.task, scored.truth[chosen], scores[chosen])[primary]
        for name, scores in models
        if scores is not None
    }


def _periods(scored: Scored, times: Any, primary: str) -> list[dict[str, Any]]:
    """The primary metric by month, or by day where there are fewer than three months; the latest periods."""
    for form in ("%Y-%m", "%Y-%m-%d"):
        groups = _groups(compute.strftime(times, format=form))
        if len(groups) >= 3:
            break
    return [
        {"period": label, "rows": len(chosen), **_primary(scored, chosen, primary)}
        for label, chosen in groups[-PERIODS:]
    ]
