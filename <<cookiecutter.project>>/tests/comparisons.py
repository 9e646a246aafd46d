"""Comparisons made from arrays: models of chosen quality, scored on the same made-up rows."""

import copy
import functools
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from conftest import PARAMS

from ci.compare.comparison import Scored, compare
from ci.compare.verdict import Verdict, judge
from ci.report import finite
from << cookiecutter.__package >>.metrics import measure
from << cookiecutter.__package >>.schema import SCHEMA

CLASSES = {"binary": ("no", "yes"), "multiclass": ("low", "middle", "high"), "regression": ()}
GATES = yaml.safe_load(PARAMS.with_name("gates.yaml").read_text())


def noise(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=rows)


def truth(task: str, signal: np.ndarray) -> np.ndarray:
    if task == "regression":
        return 10 + signal
    if task == "multiclass":
        return np.digitize(signal, [-0.5, 0.5])
    return (np.random.default_rng(9).random(len(signal)) < _sigmoid(signal)).astype(int)


def scores(task: str, signal: np.ndarray, error: float, seed: int) -> np.ndarray:
    """A model that sees the signal through noise of this size."""
    seen = signal + error * noise(len(signal), seed)
    if task == "regression":
        return 10 + seen
    if task == "multiclass":
        logits = np.stack([-(seen + 1.0) ** 2, -(seen**2), -(seen - 1.0) ** 2], axis=1)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return _sigmoid(seen / (1 + error**2))


def made(task: str = "binary", rows: int = 3000, own: float = 0.4, theirs: float | None = 0.5, **given: Any):
    """The numbers of a comparison, as comparison.json has them, and the scores that they are made from.

    `own`, `theirs`: the errors of candidate and champion, which share their noise as models of the same data do; None
    for no champion, and the candidate itself where both are equal. `given` replaces entries of the numbers.
    """
    numbers, scored = _made(task, rows, own, theirs)
    return {**copy.deepcopy(numbers), **given}, scored


@functools.cache
def _made(task: str, rows: int, own: float, theirs: float | None) -> tuple[dict[str, Any], Scored]:
    same = own == theirs
    signal = noise(rows, 0)
    label = truth(task, signal)
    candidate = scores(task, signal, own, seed=1)
    champion = None if theirs is None else candidate if same else scores(task, signal, theirs, seed=1)
    scored = Scored(task, label, candidate, champion, CLASSES[task])
    start = np.datetime64("2024-01-01T00:00:00")
    table = {
        SCHEMA.time: pa.chunked_array([start + np.arange(rows) * np.timedelta64(100 * 86400 // rows, "s")]),
        "region": pa.chunked_array([np.array(["north", "south|`<b>`", None], dtype=object)[np.arange(rows) % 3]]),
    }
    rules = {**GATES["gate"][task], "resamples": 60}
    status, md5 = ("none", "") if champion is None else ("found", ("c" if same else "d") * 32)
    numbers = {
        **compare(scored, table, rules, {"slices": ["region"], "minimum_slice_rows": 100}),
        "candidate": {"md5": "c" * 32},
        "champion": {"status": status, "name": "version 1", "md5": md5, "notes": [], "why": ""},
        "baseline": {"constant": measure(task, label, _constant(task, label))},
        "machine": {"peak_gpu0_mb": 1200.0, "mean_gpu0_busy": 61.5, "peak_host_mb": 4096.0, "devices": ["GPU-1"]},
        "cost": {"seconds": 3.0, "device": "cpu", "peak_memory_mb": 512, "rounds": 9, "best_round": 7},
        "changes": {"revision": "e" * 40, "data": [], "counts": [], "parameters": [["train.seed", 1, 2]]},
        "window": ["2024-01-01", "2024-04-10"],
        "gates": "",
        "files": {},
    }
    return finite(numbers), scored


def verdict(task: str = "binary", rules: dict[str, Any] | None = None, **choices: Any) -> Verdict:
    """The verdict on `made(task, …)`, with these rules of the task replaced."""
    gates = {"gate": {**GATES["gate"], task: {**GATES["gate"][task], **(rules or {})}}}
    return judge(made(task, **choices)[0], gates)


def _constant(task: str, label: np.ndarray) -> np.ndarray:
    if task == "multiclass":
        return np.tile(np.bincount(label) / len(label), (len(label), 1))
    return np.full(len(label), label.mean())


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-value))
