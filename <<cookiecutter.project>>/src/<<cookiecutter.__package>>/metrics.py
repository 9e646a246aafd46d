"""The metrics of each kind of task, on weighted rows, and their paired bootstrap. NumPy only.

A resample is a vector of whole-number weights, so one formula gives a metric on the data (all weights 1) and on every
resample. Weighted by counts, each agrees with scikit-learn on the rows repeated that often (`tests/test_metrics.py`).
A metric that the rows cannot define, such as the AUC of a single class, is NaN and never an error.

Sources: Fawcett (2006), "An introduction to ROC analysis" (AUC, half a point for a tie); scikit-learn's user guide,
3.4 (average precision without interpolation); Nixon et al. (2019), "Measuring calibration in deep learning"
(calibration error over bins of equal count); Efron and Tibshirani (1993), "An introduction to the bootstrap", ch. 6
and 13 (resampling, percentile interval).
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Metric -> whether higher is better; the first of each task is the one that the gate compares by default.
METRICS = {
    "binary": {"auc": True, "average_precision": True, "log_loss": False, "brier": False, "calibration_error": False},
    "multiclass": {"macro_f1": True, "accuracy": True, "log_loss": False, "brier": False},
    "regression": {"rmse": False, "mae": False, "r2": True},
}
BINS = 10  # of the calibration error and curve
BLOCK = 50  # resamples that share one random stream; fixed, so that the number of threads changes nothing


class _Ranked:
    """Scores of class 1 against the rest in ascending order. A tie is one group of rows; a bin holds whole groups."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.scores = scores[self.order].astype(np.float64)
        self.truth = truth[self.order].astype(np.int64)
        starts = np.flatnonzero(np.r_[True, np.diff(self.scores) > 0])
        self.ends = np.r_[starts[1:], len(scores)] - 1
        edges = np.arange(BINS) * len(scores) // BINS
        self.bins = np.unique(starts[np.searchsorted(starts, edges, side="right") - 1])


class _Binary:
    """truth (n,) of 0 and 1, scores (n,): the probability of 1."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray) -> None:
        self.ranked = _Ranked(truth, scores)
        self.residual = self.ranked.scores - self.ranked.truth
        likely = _clip(np.where(truth == 1, scores, 1 - scores), scores.dtype)
        self.losses = np.stack([-np.log(likely), (scores.astype(np.float64) - truth) ** 2])

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        ranked, total = self.ranked, weights.sum()
        counts = weights[ranked.order]
        # Sums of whole numbers over the rows up to the end of each group: exact, and far faster than of floats.
        rows = counts.cumsum()[ranked.ends].astype(np.float64)
        positive = (counts * ranked.truth).cumsum()[ranked.ends].astype(np.float64)
        auc, average_precision = _ranking(rows, positive)
        log_loss, brier = _means(weights, self.losses)
        gaps = np.add.reduceat(counts * self.residual, ranked.bins)
        return np.array([auc, average_precision, log_loss, brier, np.abs(gaps).sum() / total])


def _ranking(rows: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """AUC (trapezoids) and average precision from the cumulative counts of each group of ascending score."""
    positives, negatives = positive[-1], rows[-1] - positive[-1]
    if not positives:
        return np.nan, np.nan
    own = np.diff(positive, prepend=0)
    found = positives - positive + own  # class 1 among the rows that score at least as high as the group
    above = rows[-1] - rows + np.diff(rows, prepend=0)
    average_precision = _dot(own, found / np.maximum(above, 1)) / positives
    negative = rows - positive
    below = negative - np.diff(negative, prepend=0) / 2
    return (_dot(own, below) / (positives * negatives) if negatives else np.nan), average_precision


class _Multiclass:
    """truth (n,) of class indices, scores (n, K) of probabilities."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray) -> None:
        self.classes = scores.shape[1]
        rows = np.arange(len(truth))
        likely = _clip(scores[rows, truth], scores.dtype)
        hot = np.zeros(scores.shape)
        hot[rows, truth] = 1
        self.losses = np.stack([-np.log(likely), ((scores - hot) ** 2).sum(axis=1)])
        self.cells = truth * self.classes + scores.argmax(axis=1)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        total = weights.sum()
        confusion = np.bincount(self.cells, weights, self.classes**2).reshape(self.classes, self.classes)
        hits, seen = np.diagonal(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
        present = seen > 0
        log_loss, brier = _means(weights, self.losses)
        return np.array([np.mean(2 * hits[present] / seen[present]), hits.sum() / total, log_loss, brier])


class _Regression:
    """truth (n,) and scores (n,) in the label's unit."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray) -> None:
        error = scores.astype(np.float64) - truth
        centred = truth - truth.mean()
        self.columns = np.stack([error**2, np.abs(error), centred, centred**2])

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        square, absolute, mean, spread = _means(weights, self.columns)
        variance = spread - mean**2
        return np.array([np.sqrt(square), absolute, 1 - square / variance if variance > 0 else np.nan])


_TASKS = {"binary": _Binary, "multiclass": _Multiclass, "regression": _Regression}


def _dot(left: np.ndarray, right: np.ndarray) -> float:
    """Without BLAS, whose own threads get in the way of those of `bootstrap` and change the last digits."""
    return float(np.einsum("i,i->", left, right))


def _means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The weighted mean of each row of (m, n) values."""
    return np.einsum("i,ji->j", weights.astype(np.float64), values) / weights.sum()


def _clip(probability: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Keep the logarithm finite, as scikit-learn does: by the precision that the scores came with."""
    tiny = np.finfo(kind).eps
    return np.clip(probability.astype(np.float64), tiny, 1 - tiny)


def _scorer(task: str, truth: Sequence, scores: Sequence):
    """Raises ValueError where shapes differ or a value is not finite: no metric may hide that."""
    scores = np.asarray(scores)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    truth = np.asarray(truth, dtype=np.float64 if task == "regression" else np.int64)
    shape = (len(truth), scores.shape[1]) if task == "multiclass" and scores.ndim == 2 else (len(truth),)
    if scores.shape != shape or (task == "multiclass" and scores.ndim != 2):
        raise ValueError(f"{task}: scores of shape {scores.shape} for {len(truth)} rows")
    if not (np.isfinite(scores).all() and np.isfinite(truth).all()):
        raise ValueError(f"{task}: {int((~np.isfinite(scores)).sum())} scores or some labels are not finite numbers")
    return _TASKS[task](truth, scores)


def measure(task: str, truth: Sequence, scores: Sequence) -> dict[str, float]:
    """Every metric of the task.

    truth (n,): class indices, or values in the label's unit; scores (n,): the probability of class 1 (binary) or
    values (regression), (n, K) probabilities for multiclass. No rows give NaN throughout.
    """
    if len(truth) == 0:
        return dict.fromkeys(METRICS[task], float("nan"))
    values = _scorer(task, truth, scores)(np.ones(len(truth), dtype=np.int64))
    return dict(zip(METRICS[task], map(float, values), strict=True))


def bootstrap(task: str, truth: Sequence, a: Sequence, b: Sequence, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Metric -> `resamples` differences a - b, both models on the same rows drawn with replacement.

    Memory is that of a few copies of the scores, whatever `resamples` is. Repeats exactly for the same seed.
    """
    n = len(truth)
    if n == 0:
        return {name: np.full(resamples, np.nan) for name in METRICS[task]}
    first, second = _scorer(task, truth, a), _scorer(task, truth, b)

    def block(stream: np.random.SeedSequence, size: int) -> np.ndarray:
        draw = np.random.default_rng(stream)
        differences = np.empty((size, len(METRICS[task])))
        for row in range(size):
            weights = np.bincount(draw.integers(0, n, n), minlength=n)
            differences[row] = first(weights) - second(weights)
        return differences

    sizes = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
    streams = np.random.SeedSequence(seed).spawn(len(sizes))
    with ThreadPoolExecutor(min(len(sizes) or 1, os.cpu_count() or 1, 8)) as threads:
        blocks = list(threads.map(block, streams, sizes))
    drawn = np.concatenate(blocks) if blocks else np.empty((0, len(METRICS[task])))
    return dict(zip(METRICS[task], drawn.T, strict=True))


def interval(differences: np.ndarray, confidence: float) -> tuple[float, float]:
    """The two-sided percentile interval; NaN where any resample left the metric undefined: too few rows to tell."""
    if len(differences) == 0 or not np.isfinite(differences).all():
        return float("nan"), float("nan")
    low, high = np.quantile(differences, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def calibration(truth: Sequence, scores: Sequence) -> list[dict[str, float]]:
    """The reliability curve of a binary model: per bin of equal count, the mean score, the share of 1, the rows."""
    if len(truth) == 0:
        return []
    ranked = _Ranked(np.asarray(truth), np.asarray(scores, dtype=np.float64))
    rows = np.diff(np.r_[ranked.bins, len(ranked.scores)])
    means = np.add.reduceat(ranked.scores, ranked.bins) / rows
    shares = np.add.reduceat(ranked.truth, ranked.bins) / rows
    return [
        {"score": float(score), "share": float(share), "rows": int(count)}
        for score, share, count in zip(means, shares, rows, strict=True)
    ]


def rounded(metrics: dict[str, float]) -> dict[str, float | None]:
    """To six digits for files that people compare; null where the rows leave a metric undefined."""
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in metrics.items()}
