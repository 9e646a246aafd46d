"""The figures of the HTML page, as SVG that lies in the page itself."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ci.compare.comparison import Scored
from ci.compare.text import cut
from ci.compare.verdict import gain

CANDIDATE, CHAMPION, MUTED = "#0b6bcb", "#d9822b", "#8a94a0"
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": "#e6e9ed",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
}
POINTS = 300  # of a curve
ROUNDS = Path("reports/rounds.csv")


def figures(numbers: dict[str, Any], scored: Scored) -> list[tuple[str, str]]:
    """[title, SVG] in the order of the page."""
    models = [("candidate", CANDIDATE, scored.candidate)]
    if scored.champion is not None and scored.champion is not scored.candidate:
        models.insert(0, ("champion", CHAMPION, scored.champion))
    found = [("Over time", _draw(lambda axes: _periods(axes, numbers)))]
    gains = _gains(numbers)
    if gains:
        found.append(("Gain by slice", _draw(lambda axes: _forest(axes, gains, numbers), height=1 + 0.24 * len(gains))))
    if numbers["task"] == "binary":
        found += [
            ("Calibration", _draw(lambda axes: _calibration(axes, numbers))),
            ("Receiver operating characteristic", _draw(lambda axes: _roc(axes, scored.truth, models))),
            ("Precision and recall", _draw(lambda axes: _precision(axes, scored.truth, models))),
            ("Scores of the candidate", _draw(lambda axes: _scores(axes, scored))),
        ]
    elif numbers["task"] == "multiclass":
        height = 2 + 0.3 * len(scored.classes)
        title = "Confusion of the candidate, share of each true class"
        found.append((title, _draw(lambda axes: _confusion(axes, scored), height)))
    else:
        found += [
            ("Candidate against truth", _draw(lambda axes: _against(axes, scored))),
            ("Errors", _draw(lambda axes: _errors(axes, scored.truth, models))),
        ]
    found.append(("Training", _draw(_rounds)))
    return found


def _draw(plot: Callable[[Axes], None], height: float = 3.2) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6, height), layout="constrained")
        plot(figure.add_subplot())
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    svg = target.getvalue()
    return svg[svg.index("<svg") :]


def _periods(axes: Axes, numbers: dict[str, Any]) -> None:
    names = [entry["period"] for entry in numbers["periods"]]
    for model, color in (("champion", CHAMPION), ("candidate", CANDIDATE)):
        values = [entry.get(model) for entry in numbers["periods"]]
        if any(value is not None for value in values):
            axes.plot(names, [np.nan if value is None else value for value in values], "o-", color=color, label=model)
    axes.set_ylabel(numbers["primary"])
    axes.tick_params(axis="x", rotation=45 if len(names) > 6 else 0)
    axes.legend()


def _gains(numbers: dict[str, Any]) -> list[tuple[str, tuple[float, float, float]]]:
    """Slice -> gain over the champion with its interval, where both are defined."""
    found = []
    for column, values in numbers["slices"].items():
        for value, entry in values.items():
            won = gain(numbers["task"], numbers["primary"], entry) if "difference" in entry else None
            if won:
                found.append((f"{column} {cut(value)}".replace("$", r"\$"), won))
    return found


def _forest(axes: Axes, gains: list[tuple[str, tuple[float, float, float]]], numbers: dict[str, Any]) -> None:
    middle, low, high = np.array([won for _, won in gains]).T
    place = np.arange(len(gains))[::-1]
    spread = np.maximum([middle - low, high - middle], 0)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.errorbar(middle, place, xerr=spread, fmt="o", markersize=4, color=CANDIDATE, capsize=2)
    axes.set_yticks(place, [name for name, _ in gains])
    axes.set_xlabel(f"gain in {numbers['primary']} over the champion, {numbers['confidence']:.0%} interval")


def _calibration(axes: Axes, numbers: dict[str, Any]) -> None:
    largest = 0.0
    for model, color in (("champion", CHAMPION), ("candidate", CANDIDATE)):
        curve = numbers["calibration"].get(model, [])
        if curve:
            scores, shares = ([point[name] for point in curve] for name in ("score", "share"))
            axes.plot(scores, shares, "o-", color=color, label=model)
            largest = max(largest, *scores, *shares)
    axes.plot([0, largest], [0, largest], "--", color=MUTED, linewidth=1, label="perfect")
    axes.set(xlabel="mean predicted probability", ylabel="observed share")
    axes.legend()


def _counts(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives with a falling threshold, one point for each distinct score."""
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.diff(scores[order]) != 0, True]
    hits = np.cumsum(truth[order])[last]
    return hits, np.flatnonzero(last) + 1 - hits


def _thin(*curves: np.ndarray) -> list[np.ndarray]:
    chosen = np.unique(np.linspace(0, len(curves[0]) - 1, POINTS).astype(int))
    return [curve[chosen] for curve in curves]


def _roc(axes: Axes, truth: np.ndarray, models: list) -> None:
    for name, color, scores in models:
        hits, false = _counts(truth, scores)
        x, y = _thin(np.r_[0, false] / max(false[-1], 1), np.r_[0, hits] / max(hits[-1], 1))
        axes.plot(x, y, color=color, label=name)
    axes.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend()


def _precision(axes: Axes, truth: np.ndarray, models: list) -> None:
    for name, color, scores in models:
        hits, false = _counts(truth, scores)
        x, y = _thin(hits / max(hits[-1], 1), hits / (hits + false))
        axes.plot(x, y, color=color, label=name)
    axes.axhline(truth.mean(), linestyle="--", color=MUTED, linewidth=1)
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    axes.legend()


def _scores(axes: Axes, scored: Scored) -> None:
    edges = np.linspace(0, 1, 51)
    for index, color in ((0, MUTED), (1, CANDIDATE)):
        scores, name = scored.candidate[scored.truth == index], cut(scored.classes[index])
        axes.hist(scores, edges, density=True, alpha=0.55, color=color, label=name)
    axes.set(xlabel="score", ylabel="density within the class")
    axes.legend()


def _confusion(axes: Axes, scored: Scored) -> None:
    size = len(scored.classes)
    counts = np.bincount(scored.truth * size + scored.candidate.argmax(axis=1), minlength=size**2).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = [cut(name).replace("$", r"\$") for name in scored.classes]
    axes.set_xticks(range(size), names, rotation=45)
    axes.set_yticks(range(size), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.grid(visible=False)
    for row, column in np.ndindex(size, size) if size <= 12 else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:.0%}", ha="center", va="center", color=color)


def _against(axes: Axes, scored: Scored) -> None:
    axes.hexbin(scored.truth, scored.candidate, gridsize=35, bins="log", mincnt=1, cmap="Blues")
    ends = [scored.truth.min(), scored.truth.max()]
    axes.plot(ends, ends, "--", color=MUTED, linewidth=1)
    axes.set(xlabel="truth", ylabel="candidate")


def _errors(axes: Axes, truth: np.ndarray, models: list) -> None:
    errors = [scores - truth for _, _, scores in models]
    edges = np.linspace(*np.quantile(np.concatenate(errors), [0.005, 0.995]), 51)
    for (name, color, _), error in zip(models, errors, strict=True):
        axes.hist(error, edges, histtype="step", color=color, label=name)
    axes.set(xlabel="prediction minus truth", ylabel="rows")
    axes.legend()


def _rounds(axes: Axes) -> None:
    with ROUNDS.open(newline="") as file:
        head, *lines = list(csv.reader(file))
    rounds = [int(line[0]) for line in lines]
    for place, color in zip(range(1, len(head)), (MUTED, CANDIDATE), strict=False):
        losses = [float(line[place]) for line in lines]
        axes.plot(rounds, losses, "." if len(lines) == 1 else "-", color=color, label=head[place])
    axes.set_xlabel("round")
    axes.legend()
