"""Charts as ```mermaid blocks, which both forges draw from the text of a comment.

xychart-beta has no legend and no gaps: the title says which mark is what, and a point without a value is left out.
"""

from typing import Any

from ci.compare.text import label

POINTS = 20  # more do not fit a comment's width
MOST = 6  # charts, calibration first
COLORS = """%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#9bbbe0, #c4320a"}}}}%%"""


def charts(numbers: dict[str, Any]) -> list[str]:
    """The blocks for a comparison: calibration of a binary task, the primary metric over time and by slice."""
    primary = numbers["primary"]
    both = f"{primary} %s (line: candidate, bars: champion)" if numbers["differences"] else f"{primary} %s"
    periods = {entry["period"]: entry for entry in numbers["periods"]}
    found = [_calibration(numbers), _models(both % "over time", primary, periods)]
    for column, values in numbers["slices"].items():
        largest = sorted(values, key=lambda value: -values[value]["rows"])[:POINTS]
        found.append(_models(both % f"by {column}", primary, {value: values[value] for value in largest}))
    return [chart for chart in found if chart][:MOST]


def _calibration(numbers: dict[str, Any]) -> str:
    curve = numbers["calibration"].get("candidate", [])
    title = "Calibration of the candidate (line: predicted, bars: observed)"
    bins = [f"{point['score']:.3f}" for point in curve]
    return block(title, "share", bins, [point["share"] for point in curve], [point["score"] for point in curve])


def _models(title: str, axis: str, entries: dict[str, dict[str, Any]]) -> str:
    compared = all(entry.get("champion") is not None for entry in entries.values())
    names = [name for name, entry in entries.items() if entry["candidate"] is not None]
    line = [entries[name]["candidate"] for name in names]
    if not compared:
        return block(title, axis, names, line, [])
    return block(title, axis, names, [entries[name]["champion"] for name in names], line)


def block(title: str, axis: str, names: list[str], bars: list[float], line: list[float]) -> str:
    """One chart; empty where there is nothing to draw."""
    if not names:
        return ""
    low, high = min(bars + line), max(bars + line)
    drawn = (("bar", bars), ("line", line))
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    marks = [f"    {mark} [{', '.join(f'{value:.6f}' for value in values)}]" for mark, values in drawn if values]
    head = ["```mermaid", COLORS, "xychart-beta", f"    title {label(title, len(title))}"]
    axes = [
        f"    x-axis [{', '.join(label(name) for name in names)}]",
        f"    y-axis {label(axis)} {low - room:.6f} --> {high + room:.6f}",
    ]
    return "\n".join([*head, *axes, *marks, "```"])
